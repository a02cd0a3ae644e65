using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Referee;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Dumps of active memory: the pages left out are those that the twin's own record of its pages (<c>pfn.bin</c>) has as zeroed, free or standby, no more and no fewer.</summary>
public sealed class ActiveDumpTests
{
    private const byte Standby = 2, LocationMask = 7, NoPage = 0xFF;

    public static TheoryData<string, string[]> Twins => new()
    {
        { "7601", ["--cpus", "2", "--cpu-modes", "kernel", "--zeroed", "5000"] },
        { "9600", ["--cpus", "2", "--cpu-modes", "mixed", "--free", "4000"] },
        { "14393", ["--cpus", "1", "--cpu-modes", "user"] },
        { "17763", ["--cpus", "4", "--cpu-modes", "entry", "--kva", "on", "--standby", "3000"] },
        { "19041", ["--cpus", "4", "--cpu-modes", "mixed", "--bugcheck", "d1,8,2,1,fffff80012345678", "--zeroed", "0"] },
        { "20348", ["--cpus", "3", "--cpu-modes", "user", "--memory", "192", "--low-memory", "128"] },
        { "22000", ["--cpus", "2", "--cpu-modes", "mixed", "--modified", "2000", "--free", "0"] },
    };

    [Theory]
    [MemberData(nameof(Twins))]
    public void WhatIsLeftOutIsWhatTheTwinHasAsFree(string build, string[] options)
    {
        using var twin = new Twin(["--build", build, "--memory", "128", "--drivers", "12", "--processes", "30", .. options]);
        var states = File.ReadAllBytes(twin["twin/pfn.bin"]);
        var path = twin["active.dmp"];
        DumpResult result;
        using (var view = twin.OpenView())
            result = DumpWriter.Write(DumpPlan.For(Twin.Find(view), new DumpOptions { Kind = DumpKind.Active }), path, null, TestContext.Current.CancellationToken);

        Assert.True(result.IsComplete, string.Join('\n', result.Plan.Gaps));
        Assert.Empty(result.Plan.Disagreements);
        var stored = result.Plan.Stored.SelectMany(run => Enumerable.Range((int)run.BasePage, (int)run.PageCount)).ToHashSet();
        for (var frame = 0; frame < states.Length; frame++)
            Assert.True(stored.Contains(frame) == (states[frame] != NoPage && (states[frame] & LocationMask) > Standby), $"page 0x{frame:x}, which the twin has as 0x{states[frame]:x2}");
        var names = new[] { "zeroed", "free", "standby" };
        var truth = names.Select((name, location) => new LeftOutPages(name, (ulong)states.Count(state => state != NoPage && (state & LocationMask) == location)));
        Assert.Equal(truth.Where(left => left.Pages != 0), result.Plan.LeftOut);
        Assert.Equal((ulong)stored.Count, result.Pages);
        Assert.Equal(result.Bytes, (ulong)new FileInfo(path).Length);

        using (var image = CrashDumpImage.Open(path))
            Assert.Equal((CrashDumpType.BitmapFull, CrashDumpAttributes.FilterDumpFile), (image.Header64.DumpType, image.Header64.Attributes));
        using (var view = ImageReader.Open(path))
        {
            Assert.Empty(view.Origin.Damage);
            for (var frame = 0; frame < states.Length; frame++)
            {
                var state = view.Memory.StateOf(PhysicalAddress.FromFrame((ulong)frame));
                Assert.Equal(stored.Contains(frame), state is PageState.Present or PageState.Zero);
                if (states[frame] != NoPage && !stored.Contains(frame))
                    Assert.Equal(PageState.Excluded, state);
            }
        }
        var report = DumpChecker.Check(path, (view, ct) => WindowsSystem.Find(view, ProfileStore.Carried, ct), TestContext.Current.CancellationToken);
        Assert.DoesNotContain(report.Findings, finding => finding.Severity != CheckSeverity.Note);

        DebuggerEngine.SkipUnlessAccepted();
        var verdict = DebuggerEngine.Judge(path);
        Assert.Empty(verdict.Complaints);
        Assert.Contains("Active memory is available", verdict.Opening, StringComparison.Ordinal);
        Assert.Equal(twin.Truth.GetProperty("drivers").EnumerateArray().Count(driver => !driver.GetProperty("hidden").GetBoolean()), verdict.Modules.Count);
        Assert.Equal(twin.Truth.GetProperty("cpus").GetArrayLength(), verdict.Registers.Count);
    }

    [Fact]
    public void PagesWhoseEntriesAreGoneStay()
    {
        using var twin = new Twin("--build", "19041", "--memory", "128", "--drivers", "4", "--processes", "4");
        using var view = twin.OpenView();
        var system = Twin.Find(view);
        var database = PageFrameDatabase.Of(system, out _)!;
        // A page of entries that the guest no longer maps, by a view of the same memory without it.
        const ulong FirstFrame = 0x3000, EntriesLost = 4096;
        var lost = system.Kernel.Translate((database.Address + (FirstFrame * (ulong)database.EntrySize)).PageStart).Address;
        var memory = new HoledMemory(view.Memory, lost.Frame);
        using var holed = new View(memory, view.Cpus, view.Consistency, view.Origin);
        var plan = DumpPlan.For(Twin.Find(holed), new DumpOptions { Kind = DumpKind.Active });
        var whole = DumpPlan.For(system, new DumpOptions { Kind = DumpKind.Active });

        var (before, after) = (Frames(whole), Frames(plan));
        after.ExceptWith(before);
        var perPage = Page.Size / database.EntrySize;
        // All entries that the page holds, or touches, and no other.
        Assert.InRange(after.Count, 1, perPage + 2);
        Assert.All(after, frame => Assert.Equal(lost.Frame, FrameOfEntry(frame)));
        Assert.True(before.IsSubsetOf([.. Frames(plan), lost.Frame]));
        Assert.True((ulong)after.Count < EntriesLost);

        ulong FrameOfEntry(ulong frame)
        {
            var first = database.Address + (frame * (ulong)database.EntrySize);
            var last = first + (ulong)(database.EntrySize - 1);
            var (a, b) = (system.Kernel.Translate(first).Address.Frame, system.Kernel.Translate(last).Address.Frame);
            return a == lost.Frame ? a : b;
        }
    }

    [Fact]
    public void AForgedDatabaseIsSurvived()
    {
        using var twin = new Twin("--build", "19041", "--memory", "128", "--drivers", "4", "--processes", "4");
        using var view = twin.OpenView();
        var database = PageFrameDatabase.Of(Twin.Find(view), out _)!;
        var kernel = Twin.Find(view).Kernel;
        var random = new Random(7);
        var refused = 0;
        for (var round = 0; round < 12; round++)
        {
            var memory = new OverlayMemory(view.Memory);
            for (var i = 0; i < 40; i++)
            {
                var entries = new byte[Page.Size];
                random.NextBytes(entries);
                // Round 0 is all zeros: no entries, so that every page stays or the dump is refused.
                if (round == 0)
                    entries.AsSpan().Clear();
                var at = database.Address + ((ulong)random.Next(0, 0x7000) * (ulong)database.EntrySize);
                memory.TryWrite(kernel, at, entries.AsSpan(0, Page.Size - at.PageOffset));
            }
            if (round % 3 == 1)
                memory.TryWrite(kernel, database.Address + (kernel.DirectoryTableBase.Frame * (ulong)database.EntrySize), new byte[database.EntrySize]);
            using var forged = new View(memory, view.Cpus, view.Consistency, view.Origin);
            try
            {
                var plan = DumpPlan.For(Twin.Find(forged), new DumpOptions { Kind = DumpKind.Active }, TestContext.Current.CancellationToken);
                var stored = Frames(plan);
                Assert.All(plan.Patches, patch => Assert.Contains(patch.Address.Frame, stored));
                Assert.Equal(plan.Held.Aggregate(0UL, (sum, run) => sum + run.PageCount), (ulong)stored.Count + plan.LeftOut.Aggregate(0UL, (sum, left) => sum + left.Pages));
            }
            catch (DumpWriteException e)
            {
                Assert.Contains("not to be believed", e.Message, StringComparison.Ordinal);
                refused++;
            }
        }
        Assert.InRange(refused, 4, 8);
    }

    [Fact]
    public void WithoutADatabaseItIsRefusedInOneLine()
    {
        var guest = new HandMadeGuest();
        var refused = Assert.Throws<DumpWriteException>(() => DumpPlan.For(guest.Facts(), new DumpOptions { Kind = DumpKind.Active }));
        Assert.Contains("--type bitmap", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    private static HashSet<ulong> Frames(DumpPlan plan) => [.. plan.Stored.SelectMany(run => Enumerable.Range(0, (int)run.PageCount).Select(i => run.BasePage + (ulong)i))];

    /// <summary>Another memory without one page.</summary>
    private sealed class HoledMemory(PhysicalMemory below, ulong hole) : PhysicalMemory
    {
        public override IReadOnlyList<PhysicalRange> Ranges => below.Ranges;

        public override PageState StateOf(PhysicalAddress address) => address.Frame == hole ? PageState.Missing : below.StateOf(address);

        public override int Read(PhysicalAddress address, Span<byte> destination)
        {
            var holeAt = PhysicalAddress.FromFrame(hole);
            if (address.Frame == hole)
                return 0;
            var until = address < holeAt ? holeAt - address : ulong.MaxValue;
            return below.Read(address, destination[..(int)Math.Min(until, (ulong)destination.Length)]);
        }
    }
}
