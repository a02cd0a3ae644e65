using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>QEMU's background snapshot of a guest that writes memory without pause: one instant, all registers, and nothing of it stays behind.</summary>
public sealed class SnapshotTests
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    /// <summary>Captures of each method and backend; FORENGATE_CAPTURES asks for more (docs/capture.md).</summary>
    internal static int Captures { get; } = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_CAPTURES"), NumberStyles.None, null, out var asked) ? asked : 5;

    public static string[] Machine(string backend) => backend switch
    {
        "anonymous" => ["-M", "q35", "-m", "96", "-smp", "2", "-kernel", "IMAGE"],
        "memfd" => ["-M", "q35,memory-backend=m", "-m", "96", "-object", "memory-backend-memfd,id=m,size=96M,share=on", "-kernel", "IMAGE"],
        "shm" => ["-M", "q35,memory-backend=m", "-m", "96", "-object", "memory-backend-file,id=m,size=96M,share=on,mem-path=/dev/shm", "-kernel", "IMAGE"],
        "numa" =>
        [
            "-M", "q35,max-ram-below-4g=64M", "-m", "128", "-smp", "2", "-object", "memory-backend-ram,id=a,size=32M", "-object", "memory-backend-memfd,id=b,size=96M,share=on",
            "-numa", "node,nodeid=0,cpus=0,memdev=a", "-numa", "node,nodeid=1,cpus=1,memdev=b", "-kernel", "IMAGE",
        ],
        _ => throw new ArgumentException(backend),
    };

    [Theory]
    [InlineData("anonymous", CaptureMode.Snapshot)]
    [InlineData("memfd", CaptureMode.Snapshot)]
    [InlineData("shm", CaptureMode.Snapshot)]
    [InlineData("numa", CaptureMode.Snapshot)]
    [InlineData("anonymous", CaptureMode.StopAndCopy)]
    [InlineData("memfd", CaptureMode.StopAndCopy)]
    [InlineData("shm", CaptureMode.StopAndCopy)]
    [InlineData("numa", CaptureMode.StopAndCopy)]
    public void All_stamps_and_registers_are_of_one_instant(string backend, CaptureMode mode)
    {
        using var qemu = new TestQemu(Machine(backend));
        qemu.WaitForStamps();
        for (var i = 0; i < Captures; i++)
        {
            using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(mode), null, Ct);
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Empty(view.Origin.Damage);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            var counter = StampCheck.Counter(view.Memory);
            Assert.InRange(view.Cpus[0].Rax!.Value, counter, counter + 1);
            Assert.True(view.Origin.StoodStill > TimeSpan.Zero);
            var after = qemu.Counter();
            TestQemu.WaitFor(() => qemu.Counter() > after, "the guest to run on");
        }
        // Before anything that might heal what was left.
        LiveMigration.AssertWorks(qemu);
        AssertSound(qemu);
    }

    [Fact]
    public void A_snapshot_is_all_of_memory_and_all_registers()
    {
        using var qemu = new TestQemu(Machine("anonymous"));
        qemu.WaitForStamps();
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        var ranges = session.Map.Ranges;
        session.Dispose();
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(ranges, view.Memory.Ranges);
        Assert.Equal(["background snapshot"], view.Origin.Actions);
        Assert.Contains(view.Origin.Remarks, r => r.Contains("STOP and RESUME", StringComparison.Ordinal));
        // What does not change is as QEMU itself writes it.
        var code = new byte[0x4000];
        Assert.Equal(code.Length, view.Memory.Read(new PhysicalAddress(BareGuest.LoadAddress), code));
        Assert.Equal(qemu.Memory(BareGuest.LoadAddress, 0x4000), code);
        Assert.Equal(2, view.Cpus.Count);
        var cpu = view.Cpus[0];
        Assert.Equal(BareGuest.Rbx, cpu.Rbx);
        Assert.Equal(BareGuest.R15, cpu.R15);
        Assert.Equal(BareGuest.Cr3, cpu.Cr3);
        Assert.Equal(BareGuest.Cr8, cpu.Cr8);
        Assert.Equal(0xD01UL, cpu.Efer);
        Assert.Equal(BareGuest.GsBase, cpu.Gs!.Value.Base);
        Assert.Equal(BareGuest.KernelGsBase, cpu.KernelGsBase);
        Assert.Equal(BareGuest.Dr0, cpu.Dr0);
        Assert.Equal(BareGuest.LStar, cpu.LStar);
        Assert.NotNull(cpu.Pat);
        Assert.Equal((ushort)0x37F, cpu.Fcw);
        Assert.True(cpu.Xmm!.Value.Span.Slice(7 * 16, 16).SequenceEqual(BareGuest.Xmm7));
        Assert.NotNull(cpu.YmmHigh);
        // 1.0, which the guest loaded.
        Assert.Equal(0x8000000000000000UL, BitConverter.ToUInt64(cpu.St!.Value.Span));
    }

    [Fact]
    public void Settings_are_as_they_were()
    {
        using var qemu = new TestQemu(Machine("anonymous"));
        qemu.WaitForStamps();
        qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("max-bandwidth", 12345678), Ct);
        MigrationSettings.SetCapability((command, arguments) => qemu.Referee.Qmp(command, arguments, Ct), "xbzrle", true);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(12345678, qemu.Referee.Qmp("query-migrate-parameters", null, Ct).Integer("max-bandwidth"));
        Assert.True(Capability(qemu, "xbzrle"));
        Assert.False(Capability(qemu, MigrationSettings.Snapshot));
    }

    /// <summary>What others switched on for their migrations, as much of it as QEMU takes together, is no hindrance, and is on again afterwards.</summary>
    [Theory]
    [InlineData("anonymous")]
    [InlineData("shm")]
    public void Whatever_is_switched_on_a_snapshot_is_whole(string backend)
    {
        using var qemu = new TestQemu(Machine(backend));
        qemu.WaitForStamps();
        MonitorCall call = (command, arguments) => qemu.Referee.Qmp(command, arguments, Ct);
        string[] names = [.. qemu.Referee.Qmp("query-migrate-capabilities", null, Ct).Items().Select(item => item.Text("capability")!).Where(name => name != MigrationSettings.Snapshot)];
        var tried = new HashSet<string>();
        // Some exclude each other: whoever comes first is on.
        foreach (var order in (string[][])[names, [.. names.Reverse()], ["postcopy-ram", "return-path", "x-ignore-shared", .. names]])
        {
            foreach (var name in order)
            {
                try
                {
                    MigrationSettings.SetCapability(call, name, true);
                }
                catch (QmpRefusedException)
                {
                    // Not beside those that are on, or not on this host.
                }
            }
            string[] on = [.. names.Where(name => Capability(qemu, name))];
            tried.UnionWith(on);
            using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct))
            {
                Assert.Empty(view.Origin.Damage);
                Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            }
            Assert.Equal(on, names.Where(name => Capability(qemu, name)));
            // Those that ask for others stand behind them.
            foreach (var name in (string[])[.. on.Reverse(), .. on])
                qemu.Referee.TryQmp("migrate-set-capabilities", w => Write(w, name), Ct);
            Assert.DoesNotContain(names, name => Capability(qemu, name));
        }
        Assert.Superset(new HashSet<string> { "postcopy-ram", "return-path", "x-ignore-shared", "release-ram", "xbzrle" }, tried);
        AssertSound(qemu);

        static void Write(System.Text.Json.Utf8JsonWriter w, string name)
        {
            w.WriteStartArray("capabilities");
            w.WriteStartObject();
            w.WriteString("capability", name);
            w.WriteBoolean("state", false);
            w.WriteEndObject();
            w.WriteEndArray();
        }
    }

    [Fact]
    public void A_cancelled_snapshot_is_read_to_its_end()
    {
        using var qemu = new TestQemu(Machine("anonymous"));
        qemu.WaitForStamps();
        using var cancelled = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => LiveCapture.Take(
            qemu.Target, TestQemu.Options(CaptureMode.Snapshot), new Telling(CapturePhase.Copying, cancelled.Cancel), cancelled.Token));
        AssertSound(qemu);
        using var again = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(again.Memory));
    }

    /// <summary>The guest runs, no setting is left, and it can be saved: stopped and written by QEMU, as libvirt does it.</summary>
    internal static void AssertSound(TestQemu qemu)
    {
        Assert.True(qemu.IsRunning);
        Assert.False(Capability(qemu, MigrationSettings.Snapshot));
        Assert.Empty(WriteProtection.RangesOf(qemu.ProcessId));
        var before = qemu.Counter();
        TestQemu.WaitFor(() => qemu.Counter() > before, "the guest's counter");
        qemu.Referee.Stop(Ct);
        qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("max-bandwidth", 10L << 30), Ct);
        qemu.Referee.Qmp("migrate", w => w.WriteString("uri", $"exec:cat > {qemu.Folder}/saved"), Ct);
        TestQemu.WaitFor(() => Status(qemu) is "completed" or "failed", "the save");
        Assert.Equal("completed", Status(qemu));
        using (var saved = ImageReader.Open(Path.Combine(qemu.Folder, "saved"), new ImageOpenOptions(), Ct))
            Assert.Equal(0, StampCheck.Disagreeing(saved.Memory));
        qemu.Referee.Continue();
    }

    internal static string? Status(TestQemu qemu) => qemu.Referee.Qmp("query-migrate", null, Ct).Text("status");

    internal static bool Capability(TestQemu qemu, string name) =>
        qemu.Referee.Qmp("query-migrate-capabilities", null, Ct).Items().Single(item => item.Text("capability") == name).Truth("state") == true;

    private sealed class Telling(CapturePhase phase, Action action) : IProgress<CaptureProgress>
    {
        public void Report(CaptureProgress value)
        {
            if (value.Phase == phase)
                action();
        }
    }
}
