using System.Collections.Concurrent;
using System.Diagnostics;
using Forengate.Dumps;
using Forengate.Lab.Machine;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>Twins that panic under real libvirt and real QEMU: each has one good dump, then what its settings ask for is done to it.</summary>
public sealed class CrashedTwinTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = TwinFolders.New();
    private readonly ConcurrentQueue<GuardEvent> _journal = new();
    private readonly CancellationTokenSource _stop = new();

    public void Dispose() => _stop.Dispose();

    [Fact]
    public async Task Under_libvirt_each_has_one_dump_before_it_is_ended_restarted_or_left()
    {
        using var libvirt = LibvirtDaemon.Start(TwinFolders.New());
        using var early = Twin(libvirt, "early", "E2", "destroy");
        using var again = Twin(libvirt, "again", "1E", "restart");
        Virsh(libvirt, "set-lifecycle-action", "again", "reboot", "restart", "--live");
        var guarding = Start(new GuardOptions { Folder = _folder, Target = new TargetOptions { ConnectUri = libvirt.Uri }, Triggers = GuardTriggers.Panic, Reserve = 0 });
        await Until(() => Of(GuardEventKind.Ready).Length == 2);
        // Guests that come later are guarded as well.
        using var left = Twin(libvirt, "left", "3B", "preserve");
        await Until(() => Of(GuardEventKind.Ready).Length == 3);
        await Until(() => OnCrash(libvirt, "early") == "preserve");
        foreach (var twin in (TwinGuest[])[early, again, left])
            twin.Machine.Panic(PanicWay.Isa);
        await Until(() => Of(GuardEventKind.Dumped).Length == 3);
        // One that panics by itself some tenths of a second after its start.
        using var boots = TwinGuest.Start(Image("6B", "isa"), new MachineOptions { LibvirtUri = libvirt.Uri, Name = "boots", PanicIsa = true, OnCrash = "destroy" });
        await Until(() => Of(GuardEventKind.Dumped).Length == 4);
        _stop.Cancel();
        var summary = await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal((4, 0, 0), (summary.Dumped, summary.Failed, summary.Declined));
        Judge("early", 0xE2);
        Judge("again", 0x1E);
        Judge("left", 0x3B);
        Judge("boots", 0x6B);
        Assert.Contains("(destroy)", Of(GuardEventKind.Dumped).Single(line => line.Guest == "libvirt:early").Action, StringComparison.Ordinal);
        Assert.False(early.Machine.IsRunning);
        Assert.False(boots.Machine.IsRunning);
        Assert.Contains("(restart)", Of(GuardEventKind.Dumped).Single(line => line.Guest == "libvirt:again").Action, StringComparison.Ordinal);
        await Until(() => Virsh(libvirt, "domstate", "again") == "running");
        again.Machine.Ping();
        Assert.Equal("restart", OnCrash(libvirt, "again"));
        Assert.Equal("crashed", Virsh(libvirt, "domstate", "left"));
        Assert.Equal(4, Directory.GetFiles(_folder, "*.dmp").Length);
    }

    [Fact]
    public async Task Without_libvirt_it_is_dumped_over_the_socket_that_is_listened_on_then_ended()
    {
        using var twin = TwinGuest.Start(Image("7E"), new MachineOptions { PanicIsa = true });
        var guarding = Start(new GuardOptions { Folder = _folder, Monitors = [new GuardedMonitor(twin.Machine.QmpSocket)], Triggers = GuardTriggers.Panic, Once = true, Reserve = 0 });
        await Until(() => Of(GuardEventKind.Ready).Length == 1);
        Assert.Contains(Of(GuardEventKind.Ready)[0].Lines, line => line.Contains("panic device isa", StringComparison.Ordinal));
        twin.Machine.Panic(PanicWay.Isa);
        var summary = await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal((1, 0), (summary.Dumped, summary.Failed));
        Judge($"qmp:{twin.Machine.QmpSocket}", 0x7E);
        await Until(() => !twin.Machine.IsRunning);
    }

    private Task<GuardSummary> Start(GuardOptions options) => Task.Run(() => Guard.Run(options, _journal.Enqueue, _stop.Token, CancellationToken.None));

    private static string Image(string code, string panic = "command") =>
        TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "1", "--bugcheck", $"{code},1,2,3,4", "--panic", panic);

    private static TwinGuest Twin(LibvirtDaemon libvirt, string name, string code, string onCrash) =>
        TwinGuest.Start(Image(code), new MachineOptions { LibvirtUri = libvirt.Uri, Name = name, PanicIsa = true, OnCrash = onCrash });

    /// <summary>One dump of this guest, by our own check and by the debugger engine, where its licence is accepted.</summary>
    private void Judge(string guest, uint code)
    {
        var told = Assert.Single(Of(GuardEventKind.Dumped), line => line.Guest == guest || line.Guest == $"libvirt:{guest}");
        Assert.Equal(code, told.Bugcheck!.StopCode);
        Assert.Equal(4UL, told.Bugcheck.Parameter4);
        Assert.True(told.Complete == true, string.Join('\n', told.Lines));
        Assert.EndsWith($"_panic_{code:X}.dmp", told.File, StringComparison.Ordinal);
        Assert.DoesNotContain(DumpCheck.Of(told.File!, TestContext.Current.CancellationToken).Findings, finding => finding.Severity != CheckSeverity.Note);
        if (!DebuggerEngine.Accepted)
            return;
        var verdict = DebuggerEngine.Judge(told.File!, ".bugcheck");
        Assert.Empty(verdict.Complaints);
        Assert.Contains($"{code:X}", verdict[".bugcheck"], StringComparison.OrdinalIgnoreCase);
    }

    private static string OnCrash(LibvirtDaemon libvirt, string name) => System.Xml.Linq.XElement.Parse(Virsh(libvirt, "dumpxml", name)).Element("on_crash")!.Value;

    private static string Virsh(LibvirtDaemon libvirt, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("virsh", ["-q", "-c", libvirt.Uri, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"virsh {string.Join(' ', arguments)}: {error.Result}");
        return output.Result.Trim();
    }

    private GuardEvent[] Of(GuardEventKind kind) => [.. _journal.Where(line => line.Kind == kind)];

    private async Task Until(Func<bool> condition)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(clock.Elapsed < s_patience, $"did not happen in time; the journal: {string.Join('\n', _journal.Select(line => $"{line.Kind} {line.Guest} {line.Text}"))}");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }
}
