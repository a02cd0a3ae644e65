using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>What a copy's room holds is known by the page: what must go is zeroed, what must stay is not.</summary>
public sealed unsafe class FilledPagesTests
{
    private const int Pages = 300;

    [Fact]
    public void A_stretch_is_zeroed_as_far_as_it_was_filled()
    {
        var random = new Random(7);
        var room = new byte[Pages * Page.Size];
        var expected = new byte[Pages * Page.Size];
        fixed (byte* start = room)
        {
            var filled = new FilledPages(start, (ulong)room.Length);
            for (var round = 0; round < 2000; round++)
            {
                var first = random.Next(Pages);
                var count = random.Next(1, Math.Min(Pages - first, random.Next(2) == 0 ? 3 : Pages) + 1);
                var (offset, length) = (first * Page.Size, count * Page.Size);
                if (random.Next(2) == 0)
                {
                    room.AsSpan(offset, length).Fill((byte)(round | 1));
                    expected.AsSpan(offset, length).Fill((byte)(round | 1));
                    filled.Fill(start + offset, (ulong)length);
                }
                else
                {
                    filled.Empty(start + offset, (ulong)length);
                    expected.AsSpan(offset, length).Clear();
                }
                Assert.True(expected.AsSpan().SequenceEqual(room), $"round {round}");
            }
        }
    }

    /// <summary>That it is quick where a guest has few pages: it does not go near them.</summary>
    [Fact]
    public void What_was_never_filled_is_not_touched()
    {
        var room = new byte[Pages * Page.Size];
        room.AsSpan().Fill(0xEE);
        fixed (byte* start = room)
        {
            var filled = new FilledPages(start, (ulong)room.Length);
            filled.Fill(start + (100 * Page.Size), Page.Size);
            filled.Empty(start, (ulong)room.Length);
        }
        Assert.False(room.AsSpan(100 * Page.Size, Page.Size).ContainsAnyExcept((byte)0));
        Assert.False(room.AsSpan(0, 64 * Page.Size).ContainsAnyExcept((byte)0xEE));
        Assert.False(room.AsSpan(128 * Page.Size).ContainsAnyExcept((byte)0xEE));
    }

    [Fact]
    public void The_end_of_a_stretch_that_ends_within_a_page_is_filled_too()
    {
        var room = new byte[2 * Page.Size];
        room.AsSpan(0, Page.Size + 1).Fill(1);
        fixed (byte* start = room)
        {
            var filled = new FilledPages(start, (ulong)room.Length);
            filled.Fill(start, Page.Size + 1);
            filled.Empty(start, (ulong)room.Length);
        }
        Assert.False(room.AsSpan().ContainsAnyExcept((byte)0));
    }
}
