using System.Text.Json.Nodes;
using Forengate.Dumps;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>Guests whose memory grew while they ran: the dump has it, whether Windows has taken it or not yet, in however many pieces it is.</summary>
public sealed class PluggedMemoryTests : IDisposable
{
    private const ulong MiB = 1 << 20;
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private readonly string _folder = TwinFolders.New();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static TwinGuest Start(string plug, MachineOptions? machine = null) => TwinGuest.Start(
        TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "2", "--cpu-modes", "mixed", "--plug", plug), (machine ?? new MachineOptions()) with { MemorySlots = 64 });

    /// <summary>A module in each place that the twin has a use for.</summary>
    private static void Plug(TwinGuest twin, string backend = "memory-backend-ram")
    {
        using var monitor = twin.Machine.OpenMonitor();
        foreach (var (run, i) in twin.Truth.Growth!.Runs.Select((run, i) => (run, i)))
        {
            var memory = new JsonObject { ["qom-type"] = backend, ["id"] = $"grown{i}", ["size"] = run.Pages << 12 };
            monitor.Execute("object-add", memory);
            monitor.Execute("device_add", new JsonObject { ["driver"] = "pc-dimm", ["id"] = $"module{i}", ["memdev"] = $"grown{i}", ["addr"] = run.FirstPage << 12 });
        }
    }

    private (DumpOutcome Outcome, string Path) Dump(TwinGuest twin, string name, CaptureChoice consistency, DumpKind kind = DumpKind.Full)
    {
        var path = Path.Combine(_folder, name + ".dmp");
        var outcome = DumpJob.Run(twin.Target, path, new TargetOptions { Consistency = consistency }, new DumpOptions { Kind = kind }, null, Ct);
        Assert.Equal("running", twin.State);
        Assert.True(outcome.Result.IsComplete, string.Join("; ", outcome.Result.Plan.Gaps.Concat(outcome.Result.MissingRanges.Select(range => $"missing {range}"))));
        var check = DumpCheck.Of(path, Ct);
        Assert.True(check.Passed);
        return (outcome, path);
    }

    /// <summary>Of the pages that Windows took into use, as many as a memory shows.</summary>
    private static int Grown(TwinGuest twin, PhysicalMemory memory) => twin.Truth.Growth!.Pages.Count(
        page => memory.TryRead(new PhysicalAddress(page.Pa), out ulong mark) && mark == twin.Truth.Growth.Mark && memory.TryRead(new PhysicalAddress(page.Pa + 8), out ulong own) && own == page.Pa);

    private static void EngineReads(TwinGuest twin, string dump)
    {
        if (!DebuggerEngine.Accepted)
            return;
        var growth = twin.Truth.Growth!;
        var verdict = DebuggerEngine.Judge(dump, [.. growth.Pages.Select(page => EngineVerdict.ReadOf(page.Va, 16))]);
        Assert.True(verdict.Opened, verdict.Refusal);
        Assert.Empty(verdict.Complaints);
        foreach (var page in growth.Pages)
        {
            byte?[] wanted = [.. BitConverter.GetBytes(growth.Mark), .. BitConverter.GetBytes(page.Pa)];
            Assert.Equal(wanted, verdict.Memory(page.Va, 16));
        }
    }

    [Theory]
    [InlineData(CaptureChoice.Snapshot, 1)]
    [InlineData(CaptureChoice.Stop, 2)]
    public void A_module_is_in_the_dump_before_and_after_Windows_takes_it(CaptureChoice consistency, int nodes)
    {
        using var twin = Start("0x100000000+64", new MachineOptions { NumaNodes = nodes });
        var growth = twin.Truth.Growth!;
        var known = twin.Truth.Memory.Runs.Select(run => new CrashDumpRun(run.FirstPage, run.Pages)).ToList();
        var whole = known.Append(new CrashDumpRun(growth.Runs[0].FirstPage, growth.Runs[0].Pages)).ToList();
        Plug(twin, nodes == 1 ? "memory-backend-ram" : "memory-backend-memfd");
        var (early, earlyPath) = Dump(twin, "early", consistency);
        Assert.Equal(whole, early.Result.Plan.Runs);
        Assert.Contains("64 MiB (16384 pages) at 0x100000000-0x104000000 that Windows does not use", Assert.Single(early.Result.Plan.Disagreements), StringComparison.Ordinal);
        using (var view = ImageReader.Open(earlyPath))
        {
            Assert.True(view.Memory.RunAt(new PhysicalAddress(growth.Pages[0].Pa), Page.Size).IsReadable);
            Assert.Equal(0, Grown(twin, view.Memory));
        }

        twin.Machine.Command(growth.Command);
        var (late, latePath) = Dump(twin, "late", consistency);
        Assert.Equal(whole, late.Result.Plan.Runs);
        Assert.Empty(late.Result.Plan.Disagreements);
        using (var view = ImageReader.Open(latePath))
            Assert.Equal(1, Grown(twin, view.Memory));
        EngineReads(twin, latePath);
    }

    /// <summary>More runs than the header of a dump holds.</summary>
    [Fact]
    public void Sixty_modules_with_holes_between_them_are_dumped_whole()
    {
        using var twin = Start("0x100000000+2x60");
        var growth = twin.Truth.Growth!;
        Assert.Equal(60, growth.Runs.Count);
        Plug(twin);
        twin.Machine.Command(growth.Command);

        var (full, fullPath) = Dump(twin, "full", CaptureChoice.Stop);
        Assert.Equal(CrashDumpLayout64.MaxRuns, full.Result.Plan.Runs.Count);
        Assert.Contains("memory is in 62 pieces, more than the 42 a header holds", Assert.Single(full.Result.Plan.Disagreements), StringComparison.Ordinal);
        Assert.Equal(0UL, full.Result.MissingPages);
        using (var view = ImageReader.Open(fullPath))
            Assert.Equal(60, Grown(twin, view.Memory));
        EngineReads(twin, fullPath);

        var (bitmap, bitmapPath) = Dump(twin, "bitmap", CaptureChoice.Stop, DumpKind.Bitmap);
        Assert.Equal(twin.Truth.Memory.Runs.Concat(growth.Runs).Aggregate(0UL, (sum, run) => sum + run.Pages), bitmap.Result.Pages);
        using (var view = ImageReader.Open(bitmapPath))
        {
            Assert.Equal(60, Grown(twin, view.Memory));
            // The hole behind each module is no memory.
            Assert.All(growth.Runs, run => Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(run.FirstPage + run.Pages))));
        }
        EngineReads(twin, bitmapPath);
    }
}
