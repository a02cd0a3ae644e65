using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows.Tests;

/// <summary>What page tables lead to, by tables made by hand, and by forged ones that must neither hang nor lie outside of memory.</summary>
public sealed class PageTableSurveyTests
{
    private const ulong Present = 1, Large = 1 << 7, Transition = 1 << 11;
    private const ulong Root = 0x1000;

    [Fact]
    public void HalvesAreApartAndTablesAreNoLeaves()
    {
        var memory = new SmallMemory();
        // User half: one page, one in transition. Kernel half: the user's page too, a large one, itself.
        memory.Put(Root, 0x2000 | Present);
        memory.Put(0x2000, 0x3000 | Present);
        memory.Put(0x3000, 0x4000 | Present);
        memory.Put(0x4000, 0x10000 | Present);
        memory.Put(0x4008, 0x11000 | Transition | (1 << 4));
        memory.Put(0x4010, 0x12000 | Present);
        memory.Put(Root + (256 * 8), 0x5000 | Present);
        memory.Put(0x5000, 0x6000 | Present);
        memory.Put(0x6000, 0x7000 | Present);
        memory.Put(0x6008, 0x200000 | Large | Present);
        memory.Put(0x7000, 0x12000 | Present);
        memory.Put(0x7008, 0x7FFF_F000 | Present);
        var survey = new PageTableSurvey(memory, 4, TestContext.Current.CancellationToken);
        var user = new PageSet(survey.Frames);
        survey.Add(Root | 0x802, user);

        Assert.Equal([0x10UL, 0x11, 0x12], Frames(user));
        Assert.Equal([0x12UL, .. Enumerable.Range(0x200, 0x200).Select(frame => (ulong)frame)], Frames(survey.Kernel));
        Assert.Equal([1UL, 2, 3, 4, 5, 6, 7], Frames(survey.Tables));
        // A second set has its own look at the same tables.
        var other = new PageSet(survey.Frames);
        survey.Add(Root, other);
        Assert.Equal(Frames(user), Frames(other));
    }

    [Fact]
    public void ATableThatMapsItselfMapsTables()
    {
        var memory = new SmallMemory();
        const int Self = 0x1ED;
        memory.Put(Root + (Self * 8), Root | Present);
        memory.Put(Root, 0x2000 | Present);
        memory.Put(0x2000, 0x3000 | Present);
        memory.Put(0x3000, 0x4000 | Present);
        memory.Put(0x4000, 0x10000 | Present);
        var survey = new PageTableSurvey(memory, 4, TestContext.Current.CancellationToken);
        survey.Add(Root);
        Assert.Equal([1UL, 2, 3, 4], Frames(survey.Kernel));
        Assert.Equal([1UL, 2, 3, 4], Frames(survey.Tables));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public void ForgedTablesEnd(int levels)
    {
        var random = new Random(levels);
        for (var round = 0; round < 4; round++)
        {
            var memory = new SmallMemory(8 << 20);
            var words = MemoryMarshal.Cast<byte, ulong>(memory.Bytes);
            // Every word an entry: of tables, of large pages, in transition, some of them beyond memory or malformed.
            for (var i = 0; i < words.Length; i++)
            {
                var flags = round switch { 0 => Present, 1 => Present | (random.Next(2) == 0 ? Large : 0), 2 => random.Next(2) == 0 ? Present : Transition, _ => (ulong)random.NextInt64() & 0xFFF };
                words[i] = ((ulong)random.Next(0, (9 << 20) >> 12) << 12) | flags;
            }
            var survey = new PageTableSurvey(memory, levels, TestContext.Current.CancellationToken);
            var sets = new[] { new PageSet(survey.Frames), new PageSet(survey.Frames) };
            var clock = System.Diagnostics.Stopwatch.StartNew();
            for (var root = 0UL; root < 200; root++)
                survey.Add(root << 12, sets[root < 100 ? 0 : 1]);
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"{clock.Elapsed}");
            Assert.All(sets, set => Assert.InRange(set.Count, 1UL, survey.Frames));
        }
    }

    private static IEnumerable<ulong> Frames(PageSet set)
    {
        for (var frame = 0UL; frame < set.Frames; frame++)
        {
            if (set.Contains(frame))
                yield return frame;
        }
    }
}
