using System.Diagnostics;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Guests.Tests;

/// <summary>A real QEMU under TCG with two monitors: one for the code under test, one for the referee. Ends with the test, always.</summary>
internal sealed class TestQemu : IDisposable
{
    public const string Program = "/usr/bin/qemu-system-x86_64";

    /// <summary>FORENGATE_QEMU=newer has all tests of this program run on Debian 13's QEMU instead.</summary>
    private static readonly bool s_newerByDefault = Environment.GetEnvironmentVariable("FORENGATE_QEMU") == "newer";

    private readonly Process _process;

    public TestQemu(params string[] arguments)
        : this([], s_newerByDefault, arguments, static _ => { })
    {
    }

    /// <param name="arguments">Further words for QEMU; IMAGE is the bare guest's, FOLDER the machine's own.</param>
    /// <param name="prepare">Puts further files into the machine's folder.</param>
    public TestQemu(string[] arguments, Action<string> prepare)
        : this([], s_newerByDefault, arguments, prepare)
    {
    }

    /// <summary>Debian 13's, in a root folder and a mount namespace of its own, as in a container. Skips the test where there is none.</summary>
    public static TestQemu Newer(params string[] arguments) => new([], newer: true, arguments, static _ => { });

    /// <summary>One that is nobody's, with no capability but those named ("+sys_ptrace"). Skips the test where that can't be.</summary>
    public static TestQemu Unprivileged(string? capabilities, params string[] arguments) => Unprivileged(capabilities, s_newerByDefault, arguments);

    /// <param name="capabilities">What it keeps; null for nothing.</param>
    /// <param name="newer">Debian 13's.</param>
    /// <param name="arguments">Further words for QEMU.</param>
    public static TestQemu Unprivileged(string? capabilities, bool newer, params string[] arguments)
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists("/usr/bin/setpriv"))
            Assert.Skip("only root can start another user's QEMU");
        string[] kept = capabilities is null ? [] : ["--inh-caps", capabilities, "--ambient-caps", capabilities];
        return new TestQemu(["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", .. kept], newer, arguments, static _ => { });
    }

    private TestQemu(string[] wrapper, bool newer, string[] arguments, Action<string> prepare)
    {
        if (newer)
            NewerSystem.Require();
        else if (!File.Exists(Program))
            Assert.Skip($"{Program} is not installed");
        Folder = Directory.CreateTempSubdirectory("forengate-guests-").FullName;
        var image = Path.Combine(Folder, "guest.bin");
        File.WriteAllBytes(image, BareGuest.Image());
        prepare(Folder);
        if (wrapper.Length != 0 && OperatingSystem.IsLinux())
            File.SetUnixFileMode(Folder, (UnixFileMode)0x1FF);
        string[] command = newer ? [.. NewerSystem.Runner, .. wrapper, Path.GetFileName(Program)] : [.. wrapper, Program];
        var start = new ProcessStartInfo(command[0]) { RedirectStandardError = true, UseShellExecute = false };
        start.Environment[NewerSystem.SharedFolders] = Folder;
        foreach (var argument in (string[])
            [
                .. command[1..], "-accel", "tcg", "-display", "none", "-serial", "none", "-nodefaults", "-no-user-config", "-no-shutdown",
                "-qmp", $"unix:{Socket},server=on,wait=off", "-qmp", $"unix:{RefereeSocket},server=on,wait=off",
                .. arguments.Select(a => a.Replace("IMAGE", image, StringComparison.Ordinal).Replace("FOLDER", Folder, StringComparison.Ordinal)),
            ])
        {
            start.ArgumentList.Add(argument);
        }
        _process = Process.Start(start)!;
        QmpMonitor? referee = null;
        WaitFor(() => _process.HasExited || TryOpen(out referee), "QEMU's socket");
        Referee = referee!;
        if (_process.HasExited)
            Assert.Fail($"QEMU did not start: {_process.StandardError.ReadToEnd()}");
    }

    /// <summary>A socket has a name before it listens.</summary>
    private bool TryOpen(out QmpMonitor? monitor)
    {
        monitor = null;
        try
        {
            monitor = QmpMonitor.Open(RefereeSocket, CancellationToken.None);
            return true;
        }
        catch (GuestException e) when (e.Failure is GuestFailure.NotFound or GuestFailure.NotRunning)
        {
            return false;
        }
    }

    public string Folder { get; }

    public string Socket => Path.Combine(Folder, "qmp");

    public string RefereeSocket => Path.Combine(Folder, "referee");

    public GuestTarget Target => new(GuestTargetKind.Qmp, Socket);

    public int ProcessId => _process.Id;

    public bool HasExited => _process.HasExited;

    public QmpMonitor Referee { get; }

    public static CaptureOptions Options(CaptureMode mode) => new() { Mode = mode, Watchdog = WatchdogHost.ThisProgram() };

    public bool IsRunning => Referee.QueryState(CancellationToken.None).Running;

    /// <summary>Guest memory by QEMU's own hand.</summary>
    public byte[] Memory(ulong address, ulong length)
    {
        var file = Path.Combine(Folder, "pmem");
        Referee.Qmp(
            "pmemsave", w =>
            {
                w.WriteNumber("val", address);
                w.WriteNumber("size", length);
                w.WriteString("filename", file);
            },
            CancellationToken.None);
        var bytes = File.ReadAllBytes(file);
        File.Delete(file);
        return bytes;
    }

    public ulong Counter() => BitConverter.ToUInt64(Memory(BareGuest.CounterAddress, 8));

    /// <summary>Waits until the bare guest has filled its field of pages.</summary>
    public void WaitForStamps() => WaitFor(() => Counter() > 2 * BareGuest.FieldPages, "the guest's counter");

    public void Kill() => _process.Kill();

    /// <summary>Waits for something that must happen; how long it takes is not the test's business.</summary>
    public static void WaitFor(Func<bool> condition, string what)
    {
        var until = Environment.TickCount64 + 60_000;
        while (!condition())
        {
            if (Environment.TickCount64 > until)
                Assert.Fail($"waited in vain for {what}");
            Thread.Sleep(10);
        }
    }

    public void Dispose()
    {
        Referee?.Dispose();
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(Folder, recursive: true);
    }
}
