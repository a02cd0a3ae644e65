using Forengate.Memory;

namespace Forengate.Windows.Tests;

public sealed class LinkedListWalkTests
{
    private const ulong Va = 0xFFFFF80001000000;
    private const ulong Pa = 0x200000;
    private const int Count = 8;

    private static ulong Entry(int number) => Va + ((ulong)number * 0x40);

    /// <summary>Head 0 and entries 1 to 8 in a ring.</summary>
    private static SmallMemory Ring()
    {
        var memory = new SmallMemory();
        memory.Map(Va, Pa);
        for (var i = 0; i <= Count; i++)
            memory.PutLinks(Pa + ((ulong)i * 0x40), Entry((i + 1) % (Count + 1)), Entry((i + Count) % (Count + 1)));
        return memory;
    }

    private static (List<int> Items, IReadOnlyList<string> Warnings) Walk(SmallMemory memory, int limit = 1000)
    {
        var space = memory.Space;
        var warnings = new WarningList(10);
        var items = LinkedListWalk.Follow(
            space, new VirtualAddress(Va), limit,
            (VirtualAddress at, out LinkedListWalk.Links links, out int item) =>
            {
                item = (int)((at.Value - Va) / 0x40);
                return LinkedListWalk.TryReadLinks(space, at, out links);
            },
            "list", warnings, CancellationToken.None);
        return (items, warnings.ToList());
    }

    private static void SetFlink(SmallMemory memory, int entry, ulong value) => memory.Put(Pa + ((ulong)entry * 0x40), value);

    private static void SetBlink(SmallMemory memory, int entry, ulong value) => memory.Put(Pa + ((ulong)entry * 0x40) + 8, value);

    [Fact]
    public void AWholeListComesInOrderWithoutWarnings()
    {
        using var memory = Ring();
        var (items, warnings) = Walk(memory);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], items);
        Assert.Empty(warnings);
    }

    [Theory]
    [InlineData(0x4141414141414141)]
    [InlineData(0)]
    [InlineData(0xFFFFF80001000041)]
    [InlineData(0xFFFFF90000000000)]
    public void BehindAWildPointerTheListIsFollowedBackward(ulong wild)
    {
        using var memory = Ring();
        SetFlink(memory, 3, wild);
        var (items, warnings) = Walk(memory);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], items);
        Assert.NotEmpty(warnings);
    }

    [Fact]
    public void ACircleThatNeverReturnsEndsAndBackwardGivesTheRest()
    {
        using var memory = Ring();
        SetFlink(memory, 5, Entry(2));
        var (items, warnings) = Walk(memory);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], items);
        Assert.Contains(warnings, w => w.Contains("circle", StringComparison.Ordinal));
    }

    /// <summary>An entry cut out of the forward chain only.</summary>
    [Fact]
    public void AnEntryHiddenFromOneDirectionIsFound()
    {
        using var memory = Ring();
        SetFlink(memory, 3, Entry(5));
        var (items, warnings) = Walk(memory);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], items.Order());
        Assert.NotEmpty(warnings);
    }

    /// <summary>Cut out as rootkits do, both ways: the list is whole without it.</summary>
    [Fact]
    public void AnEntryCutOutBothWaysLeavesAWholeList()
    {
        using var memory = Ring();
        SetFlink(memory, 3, Entry(5));
        SetBlink(memory, 5, Entry(3));
        var (items, warnings) = Walk(memory);
        Assert.Equal([1, 2, 3, 5, 6, 7, 8], items);
        Assert.Empty(warnings);
    }

    [Fact]
    public void BothDirectionsBrokenGiveWhatIsReachable()
    {
        using var memory = Ring();
        SetFlink(memory, 2, 0);
        SetBlink(memory, 6, 0);
        var (items, _) = Walk(memory);
        Assert.Equal([1, 2, 6, 7, 8], items);
    }

    [Fact]
    public void AMissingHeadIsSaid()
    {
        using var memory = new SmallMemory();
        var (items, warnings) = Walk(memory);
        Assert.Empty(items);
        Assert.Contains("head", Assert.Single(warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void TheLimitHolds()
    {
        using var memory = Ring();
        var (items, warnings) = Walk(memory, limit: 3);
        Assert.InRange(items.Count, 3, 6);
        Assert.Contains(warnings, w => w.Contains("stopped after 3", StringComparison.Ordinal));
    }

    [Fact]
    public void RandomLinksNeverHangOrThrow()
    {
        for (var seed = 0; seed < 3000; seed++)
        {
            using var memory = Ring();
            var random = new Random(seed);
            for (var i = random.Next(1, 8); i > 0; i--)
            {
                var value = random.Next(4) switch { 0 => (ulong)random.NextInt64(), 1 => 0UL, _ => Entry(random.Next(Count + 1)) };
                memory.Put(Pa + ((ulong)random.Next(Count + 1) * 0x40) + ((ulong)random.Next(2) * 8), value);
            }
            var (items, _) = Walk(memory, limit: 50);
            Assert.Equal(items.Count, items.Distinct().Count());
        }
    }
}
