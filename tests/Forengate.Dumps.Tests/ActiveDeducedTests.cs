using Forengate.Memory;
using Forengate.Testing;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Dumps of active memory of kernels whose entries no profile lays out: what memory shows of them leaves out what the twin has as free, or nothing is left out at all.</summary>
public sealed class ActiveDeducedTests
{
    private const byte Standby = 2, LocationMask = 7, NoPage = 0xFF;

    public static TheoryData<string> Twins =>
    [
        "--build 7601 --hide-build --zeroed 5000",
        "--build 9600 --shuffle 3 --free 4000",
        "--build 14393 --shuffle 4 --standby 3000",
        "--build 17763 --hide-build --kva on",
        "--build 19041 --shuffle 5 --modified 2000",
        "--build 20348 --shuffle 6 --levels 5",
        "--build 22000 --hide-build --memory 192 --low-memory 128",
        "--build 6.1.7601.17514 --kva off",
        "--build 10.0.10240.16384 --kva off",
        "--build 10.0.17134.1 --kva off",
        "--build 10.0.19045.2965",
        "--build 10.0.22631.2428",
        "--build 10.0.22631.2428 --shuffle 7",
    ];

    [Theory]
    [MemberData(nameof(Twins))]
    public void WhatIsLeftOutIsWhatTheTwinHasAsFree(string made)
    {
        var options = made.Split(' ');
        if (options[1].Contains('.', StringComparison.Ordinal))
            _ = RealData.PathOf("kernels/layouts.tar.zst");
        using var twin = Make(options);
        using var view = twin.OpenView();
        var system = Twin.Find(view);
        Assert.True(system.Profile.IsDeduced);
        var plan = DumpPlan.For(system, new DumpOptions { Kind = DumpKind.Active }, TestContext.Current.CancellationToken);
        Assert.Contains(plan.Notes, note => note.StartsWith("_MMPFN deduced: 0x30 bytes", StringComparison.Ordinal));
        var stored = plan.Stored.SelectMany(run => Enumerable.Range((int)run.BasePage, (int)run.PageCount)).ToHashSet();
        var states = File.ReadAllBytes(twin["twin/pfn.bin"]);
        Assert.Empty(Enumerable.Range(0, states.Length).Where(frame => stored.Contains(frame) != (states[frame] != NoPage && (states[frame] & LocationMask) > Standby)).Select(frame => $"page 0x{frame:x} is 0x{states[frame]:x2}"));
        Assert.InRange(plan.LeftOutBytes, 1UL << 20, ulong.MaxValue);
    }

    /// <summary>What can't be told apart is not guessed: where too little of memory is zeroed, no place is believed.</summary>
    [Fact]
    public void WithoutZeroedPagesItIsRefused()
    {
        using var twin = Make("--build", "19041", "--shuffle", "8", "--zeroed", "0");
        using var view = twin.OpenView();
        var refused = Assert.Throws<DumpWriteException>(() => DumpPlan.For(Twin.Find(view), new DumpOptions { Kind = DumpKind.Active }, TestContext.Current.CancellationToken));
        Assert.Contains("too few zeroed pages", refused.Message, StringComparison.Ordinal);
        Assert.Contains("--symbols", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    /// <summary>Where one of the three invariants does not hold of one entry in eight, the layout is refused, and the line says which.</summary>
    [Theory]
    [InlineData("the table entry", "name the table entry that does")]
    [InlineData("the state", "of mapped pages that they are in use")]
    [InlineData("the zeros", "of mapped pages that they are in use")]
    public void AnInvariantThatFailsRefusesTheLayout(string what, string said)
    {
        using var twin = Make("--build", "19041", "--hide-build");
        using var view = twin.OpenView();
        var system = Twin.Find(view);
        var database = PageFrameDatabase.Of(system, out _)!;
        var states = File.ReadAllBytes(twin["twin/pfn.bin"]);
        var memory = new OverlayMemory(view.Memory);
        var locationAt = Enumerable.Range(0, database.EntrySize).Single(at => Says(at));
        for (var frame = 0UL; frame < (ulong)states.Length; frame++)
        {
            var at = database.Address + (frame * (ulong)database.EntrySize);
            var location = states[frame] & LocationMask;
            if (states[frame] == NoPage || !system.Kernel.TryRead(at + (ulong)locationAt, out byte state))
                continue;
            if (what == "the table entry")
                memory.TryWrite(system.Kernel, at + 8, new byte[8]);
            else if (what == "the state" && location == 6 && frame % 8 == 0 && frame != system.Kernel.DirectoryTableBase.Frame)
                memory.TryWrite(system.Kernel, at + (ulong)locationAt, [(byte)((state & ~LocationMask) | 3)]);
            else if (what == "the zeros" && location == 0 && frame % 8 == 0)
                memory.TryWrite(PhysicalAddress.FromFrame(frame), [1]);
        }
        using var forged = new View(memory, view.Cpus, view.Consistency, view.Origin);
        var refused = Assert.Throws<DumpWriteException>(() => DumpPlan.For(Twin.Find(forged), new DumpOptions { Kind = DumpKind.Active }, TestContext.Current.CancellationToken));
        Assert.Contains(said, refused.Message, StringComparison.Ordinal);

        // The byte whose low bits are the state of every page: the test's own reading of the twin's truth.
        bool Says(int at) => Enumerable.Range(0x100, 0x400).All(frame => states[frame] == NoPage
            || (system.Kernel.TryRead(database.Address + ((ulong)frame * (ulong)database.EntrySize) + (ulong)at, out byte value) && (value & LocationMask) == (states[frame] & LocationMask)));
    }

    private static Twin Make(params string[] options) => new(["--memory", "128", "--cpus", "2", "--drivers", "12", "--processes", "30", .. options]);
}
