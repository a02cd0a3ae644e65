using Forengate.Memory;

namespace Forengate.Dumps.Tests;

public sealed class RunPlanTests
{
    [Fact]
    public void BothMustCallItMemory()
    {
        var plan = RunPlan.Make([Range(0, 0xA0), Range(0x100, 0x1000)], [Range(1, 0x9E), Range(0x100, 0x800)]);
        Assert.Equal([new(1, 0x9E), new(0x100, 0x800)], plan.Runs);
        Assert.Empty(plan.Gaps);
    }

    [Fact]
    public void MemoryPluggedLaterIsInTheDumpAndReported()
    {
        var plan = RunPlan.Make([Range(0, 0x1000), Range(0x100000, 0x8000)], [Range(0, 0x1000)]);
        Assert.Equal([new(0, 0x1000), new(0x100000, 0x8000)], plan.Runs);
        Assert.Contains("128 MiB (32768 pages) at 0x100000000-0x108000000 that Windows does not use", Assert.Single(plan.Disagreements), StringComparison.Ordinal);
        Assert.Empty(plan.Gaps);
    }

    [Fact]
    public void SmallMemoryAboveFirmwaresIsAModuleToo()
    {
        var plan = RunPlan.Make([Range(0, 0x1000), Range(0x100000, 0x200)], [Range(0, 0xF00)]);
        Assert.Equal([new(0, 0xF00), new(0x100000, 0x200)], plan.Runs);
        Assert.Contains("2 MiB (512 pages)", Assert.Single(plan.Disagreements), StringComparison.Ordinal);
        Assert.Contains("(256 pages) at 0xf00000-0x1000000", Assert.Single(plan.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void BlocksThatAreNotPluggedAreInNoRun()
    {
        var plan = RunPlan.Make([Range(0, 0x1000), Range(0x100000, 0x8000)], [Range(0, 0x1000), Range(0x100000, 0x200)], ballooned: [Range(0x100200, 0x7E00)]);
        Assert.Equal([new(0, 0x1000), new(0x100000, 0x200)], plan.Runs);
        Assert.Empty(plan.Disagreements);
        Assert.Empty(plan.Gaps);
        Assert.Empty(plan.Filled);
    }

    [Fact]
    public void WhatWasGivenBackAndWindowsCountsIsZeros()
    {
        var plan = RunPlan.Make([Range(0, 0x1000)], [Range(0, 0x1000)], ballooned: [Range(0x800, 0x200)]);
        Assert.Equal([new(0, 0x1000)], plan.Runs);
        Assert.Equal([Range(0x800, 0x200)], plan.Filled);
        Assert.Equal([Range(0, 0x800), Range(0xA00, 0x600)], plan.Wanted);
        Assert.Contains("2 MiB (512 pages) at 0x800000-0xa00000", Assert.Single(plan.Disagreements), StringComparison.Ordinal);
        Assert.Empty(plan.Gaps);
    }

    [Fact]
    public void MemoryTheViewLacksIsAGap()
    {
        var plan = RunPlan.Make([Range(0, 0x1000)], [Range(0, 0x1000), Range(0x2000, 0x10)]);
        Assert.Equal([new(0, 0x1000)], plan.Runs);
        Assert.Contains("16 pages at 0x2000000-0x2010000", Assert.Single(plan.Gaps), StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutWindowsTheHypervisorIsBelieved()
    {
        var plan = RunPlan.Make([Range(5, 5)], null);
        Assert.Equal([new(5, 5)], plan.Runs);
        Assert.Single(plan.Notes);
    }

    [Fact]
    public void MoreRunsThanAHeaderHoldsAreMergedAcrossTheSmallestHoles()
    {
        var ranges = Enumerable.Range(0, 50).Select(i => Range((ulong)i * 100, (ulong)(i < 8 ? 99 : 50))).ToList();
        var plan = RunPlan.Make(ranges, ranges);
        Assert.Equal(CrashDumpLayout64.MaxRuns, plan.Runs.Count);
        // Eight holes of one page each were the smallest.
        Assert.Equal(new CrashDumpRun(0, 850), plan.Runs[0]);
        Assert.Equal(8, plan.Filled.Count);
        Assert.Equal(ranges, plan.Wanted);
        Assert.Contains("8 pages of holes", Assert.Single(plan.Disagreements), StringComparison.Ordinal);
    }

    [Fact]
    public void HostileBlocksAreHarmless()
    {
        var random = new Random(7);
        for (var round = 0; round < 200; round++)
        {
            var block = Enumerable.Range(0, random.Next(1, 60)).Select(_ => new PhysicalRange(new((ulong)random.NextInt64()), random.Next(3) == 0 ? ulong.MaxValue : (ulong)random.Next(1 << 24))).ToList();
            var plan = RunPlan.Make([Range(0, 0xA0), Range(0x100, 0x10000)], block);
            Assert.InRange(plan.Runs.Count, 1, CrashDumpLayout64.MaxRuns);
            Assert.True(plan.Runs.Aggregate(0UL, (sum, run) => sum + run.PageCount) <= 0x100A0);
        }
    }

    private static PhysicalRange Range(ulong frame, ulong pages) => new(PhysicalAddress.FromFrame(frame), pages << Page.Shift);
}
