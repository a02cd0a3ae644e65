using System.Diagnostics;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Guests.Tests;

/// <summary>A real QEMU under TCG with two monitors: one for the code under test, one for the referee. Ends with the test, always.</summary>
internal sealed class TestQemu : IDisposable
{
    public const string Program = "/usr/bin/qemu-system-x86_64";

    /// <summary>FORENGATE_QEMU=newer has all tests of this program run on Debian 13's QEMU instead.</summary>
    private static readonly bool s_newerAsked = Environment.GetEnvironmentVariable("FORENGATE_QEMU") == "newer";

    private static readonly AsyncLocal<bool> s_newerHere = new();

    private readonly Process _process;
    private readonly string[] _arguments;

    /// <summary>True where tests run on Debian 13's QEMU: in a root folder and a mount namespace of its own, as in a container.</summary>
    public static bool IsNewer => s_newerAsked || s_newerHere.Value;

    public TestQemu(params string[] arguments)
        : this([], arguments, static _ => { })
    {
    }

    /// <param name="arguments">Further words for QEMU; IMAGE is the bare guest's, FOLDER the machine's own.</param>
    /// <param name="prepare">Puts further files into the machine's folder.</param>
    public TestQemu(string[] arguments, Action<string> prepare)
        : this([], arguments, prepare)
    {
    }

    /// <summary>Has every QEMU that the calling test starts be Debian 13's. Skips the test where there is none.</summary>
    public static void UseNewer()
    {
        NewerSystem.Require();
        s_newerHere.Value = true;
    }

    /// <summary>One that is nobody's, with no capability but those named ("+sys_ptrace"). Skips the test where that can't be.</summary>
    public static TestQemu Unprivileged(string? capabilities, params string[] arguments)
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists("/usr/bin/setpriv"))
            Assert.Skip("only root can start another user's QEMU");
        string[] kept = capabilities is null ? [] : ["--inh-caps", capabilities, "--ambient-caps", capabilities];
        return new TestQemu([.. Nobody, .. kept], arguments, static _ => { });
    }

    /// <summary>Runs a command as nobody.</summary>
    public static IReadOnlyList<string> Nobody => ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

    /// <summary>One that is started by another program, which may change what it sees and may do before it runs it. Any user reaches its sockets.</summary>
    public static TestQemu Within(IReadOnlyList<string> wrapper, params string[] arguments) => new([.. wrapper], arguments, static _ => { });

    private TestQemu(string[] wrapper, string[] arguments, Action<string> prepare)
    {
        if (IsNewer)
            NewerSystem.Require();
        else if (!File.Exists(Program))
            Assert.Skip($"{Program} is not installed");
        _arguments = arguments;
        Folder = Directory.CreateTempSubdirectory("forengate-guests-").FullName;
        File.WriteAllBytes(Path.Combine(Folder, "guest.bin"), BareGuest.Image());
        prepare(Folder);
        if (wrapper.Length != 0 && OperatingSystem.IsLinux())
            File.SetUnixFileMode(Folder, (UnixFileMode)0x1FF);
        string[] command = IsNewer ? [.. NewerSystem.Runner, .. wrapper, Path.GetFileName(Program)] : [.. wrapper, Program];
        var start = new ProcessStartInfo(command[0]) { RedirectStandardError = true, UseShellExecute = false };
        start.Environment[NewerSystem.SharedFolders] = Folder;
        foreach (var argument in (string[])
            [
                .. command[1..].Select(InFolder), "-accel", "tcg", "-display", "none", "-serial", "none", "-nodefaults", "-no-user-config", "-no-shutdown",
                "-qmp", $"unix:{Socket},server=on,wait=off", "-qmp", $"unix:{RefereeSocket},server=on,wait=off",
                .. arguments.Select(InFolder),
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

    private string InFolder(string argument) =>
        argument.Replace("IMAGE", Path.Combine(Folder, "guest.bin"), StringComparison.Ordinal).Replace("FOLDER", Folder, StringComparison.Ordinal);

    /// <summary>Another like this one, that waits for this one's guest at a socket.</summary>
    public TestQemu Incoming(out string socket)
    {
        var other = new TestQemu([.. _arguments, "-incoming", "unix:FOLDER/incoming"]);
        socket = Path.Combine(other.Folder, "incoming");
        return other;
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
