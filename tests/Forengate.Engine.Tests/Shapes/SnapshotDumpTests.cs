using Forengate.Dumps;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>A dump of a running guest by QEMU's background snapshot: whole, clean, and with the registers that no other way tells.</summary>
public sealed class SnapshotDumpTests
{
    [Theory, InlineData(RamBackend.Anonymous, 1), InlineData(RamBackend.Memfd, 2)]
    public void A_running_twin_is_dumped_with_all_its_registers(RamBackend backend, int nodes)
    {
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "2", "--cpu-modes", "mixed"), new MachineOptions { Backend = backend, NumaNodes = nodes });
        var dump = Path.Combine(TwinFolders.New(), "guest.dmp");
        try
        {
            var outcome = DumpJob.Run(
                twin.Target, dump, new TargetOptions { Consistency = CaptureChoice.Snapshot }, new DumpOptions(), null, TestContext.Current.CancellationToken);
            Assert.Equal("running", twin.State);
            Assert.Equal(["background snapshot"], outcome.Examination.View.Origin.Actions);
            Assert.True(outcome.Result.StoodStill > TimeSpan.Zero);
            Assert.Equal(0UL, outcome.Result.MissingPages);
            Assert.Empty(outcome.Result.Plan.Gaps);
            Assert.Equal(twin.Truth.Memory.Runs.Aggregate(0UL, (sum, run) => sum + run.Pages), outcome.Result.Pages);
            Assert.True(DumpCheck.Of(dump, TestContext.Current.CancellationToken).Passed);
            using var examination = Examination.Open(dump, new TargetOptions(), null, TestContext.Current.CancellationToken);
            foreach (var (truth, i) in twin.Truth.Cpus.Select((cpu, i) => (cpu.Registers, i)))
            {
                // Of the live view: what a dump keeps in memory, the twin's memory had before.
                var live = outcome.Examination.View.Cpus[i];
                Assert.Equal(truth.LStar, live.LStar);
                Assert.Equal(truth.Star, live.Star);
                Assert.NotNull(live.YmmHigh);
                Assert.NotNull(live.Dr7);
                Assert.NotNull(live.Pat);
                Assert.Equal(truth.Xmm6To9, Convert.ToHexString(live.Xmm!.Value.Span.Slice(6 * 16, 4 * 16)), ignoreCase: true);
                var kept = examination.Cpus[i];
                Assert.Equal(live.Rip, kept.Rip);
                Assert.Equal(live.Rsp, kept.Rsp);
                Assert.Equal(live.Rflags, kept.Rflags);
                Assert.Equal(live.LStar, kept.LStar);
                Assert.Equal(live.Cr3, kept.Cr3);
                Assert.True(live.Xmm.Value.Span.SequenceEqual(kept.Xmm!.Value.Span));
            }
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(dump)!, recursive: true);
        }
    }
}
