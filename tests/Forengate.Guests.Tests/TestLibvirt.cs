using System.Diagnostics;
using Forengate.Testing;

namespace Forengate.Guests.Tests;

/// <summary>
/// A libvirt daemon of the tests' own: its own directories, no system daemon touched. As root it runs as nobody, because libvirtd as root always uses the system's directories.
/// </summary>
public class TestLibvirt : IDisposable
{
    private const string Daemon = "/usr/sbin/libvirtd";

    private readonly ProcessStartInfo _start = new() { RedirectStandardError = true, RedirectStandardOutput = true };
    private readonly string? _missing;
    private Process? _process;
    private readonly List<string> _guests = [];

    public TestLibvirt()
        : this(maySnapshot: false)
    {
    }

    /// <param name="maySnapshot">QEMU gets the right to track its own memory, as an administrator would give it who wants background snapshots.</param>
    /// <param name="port">Where it listens on loopback TCP without authentication; null for a unix socket only.</param>
    /// <param name="newer">Debian 13's libvirt and QEMU.</param>
    protected TestLibvirt(bool maySnapshot, int? port = null, bool newer = false)
    {
        _missing = !File.Exists(Daemon) || !File.Exists("/usr/bin/virsh") || !File.Exists(TestQemu.Program) ? "libvirt is not installed" : newer ? NewerSystem.WhyNot : null;
        if (_missing is not null)
            return;
        Folder = Directory.CreateTempSubdirectory("forengate-libvirt-").FullName;
        var settings = Directory.CreateDirectory(Path.Combine(Folder, "config", "libvirt")).FullName;
        File.WriteAllText(
            Path.Combine(settings, "qemu.conf"),
            "security_driver=\"none\"\ncgroup_controllers=[]\nnamespaces=[]\nstdio_handler=\"file\"\nremember_owner=0\n" + (maySnapshot ? "clear_emulator_capabilities=0\n" : ""));
        if (port is not null)
            File.WriteAllText(Path.Combine(settings, "libvirtd.conf"), $"listen_tls=0\nlisten_tcp=1\nlisten_addr=\"127.0.0.2\"\ntcp_port=\"{port}\"\nauth_tcp=\"none\"\n");
        File.WriteAllBytes(Path.Combine(Folder, "guest.bin"), BareGuest.Image());
        File.WriteAllBytes(Path.Combine(Folder, "alarm.bin"), AlarmGuest.Image());
        File.WriteAllBytes(Path.Combine(Folder, "panic.bin"), AlarmGuest.Image(AlarmGuest.IsaPanic));
        foreach (var name in (string[])["home", "cache", "run", "data"])
            Directory.CreateDirectory(Path.Combine(Folder, name));
        Run("chmod", "755", Folder);
        if (Environment.IsPrivilegedProcess)
            Run("chown", "-R", "65534:65534", Folder);
        var start = _start;
        if (newer)
        {
            start.Environment[NewerSystem.SharedFolders] = Folder;
            start.FileName = NewerSystem.Runner[0];
            foreach (var argument in NewerSystem.Runner.Skip(1))
                start.ArgumentList.Add(argument);
        }
        if (Environment.IsPrivilegedProcess)
        {
            if (newer)
                start.ArgumentList.Add("/usr/bin/setpriv");
            else
                start.FileName = "/usr/bin/setpriv";
            foreach (var argument in (string[])["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig", "TERM", .. maySnapshot ? (string[])["--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"] : [], Daemon])
                start.ArgumentList.Add(argument);
        }
        else
        {
            start.FileName = Daemon;
        }
        if (port is not null)
            start.ArgumentList.Add("--listen");
        start.Environment["HOME"] = Path.Combine(Folder, "home");
        start.Environment["XDG_CONFIG_HOME"] = Path.Combine(Folder, "config");
        start.Environment["XDG_CACHE_HOME"] = Path.Combine(Folder, "cache");
        start.Environment["XDG_RUNTIME_DIR"] = Path.Combine(Folder, "run");
        start.Environment["XDG_DATA_HOME"] = Path.Combine(Folder, "data");
        StartDaemon();
    }

    private void StartDaemon()
    {
        // setpriv's signal comes when the thread ends that started the daemon, and such of the pool end when they are idle: it has one that stays.
        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() =>
        {
            try
            {
                started.SetResult(Process.Start(_start)!);
            }
            catch (Exception e)
            {
                started.SetException(e);
            }
            Thread.Sleep(Timeout.Infinite);
        })
        { IsBackground = true, Name = "libvirtd" }.Start();
        _process = started.Task.GetAwaiter().GetResult();
        _process.ErrorDataReceived += static (_, _) => { };
        _process.OutputDataReceived += static (_, _) => { };
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        TestQemu.WaitFor(() => File.Exists(SocketPath), "libvirtd's socket");
        TestQemu.WaitFor(() => TryVirsh(out _, "list"), "libvirtd");
    }

    public string Folder { get; } = "";

    /// <summary>The daemon dies as by the kernel (SIGKILL); its guests live on.</summary>
    public void KillDaemon()
    {
        _process!.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    public void RestartDaemon()
    {
        File.Delete(SocketPath);
        StartDaemon();
    }

    /// <summary>Starts an <see cref="AlarmGuest"/> with pvpanic on ISA and a watchdog. Skips the test where libvirt is not installed.</summary>
    public GuestTarget StartAlarm(string name, string onCrash, bool atBoot = false, bool persistent = false, string devices = "")
    {
        if (_process is null)
            Assert.Skip(_missing!);
        var file = Path.Combine(Folder, name + ".xml");
        File.WriteAllText(
            file,
            $"""
            <domain type='qemu'>
              <name>{name}</name>
              <memory unit='MiB'>64</memory>
              <vcpu>1</vcpu>
              <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{Folder}/{(atBoot ? "panic" : "alarm")}.bin</kernel></os>
              <features><acpi/><apic/></features>
              <on_crash>{onCrash}</on_crash>
              <devices>
                <emulator>{TestQemu.Program}</emulator><memballoon model='none'/>
                <serial type='unix'><source mode='bind' path='{Folder}/{name}.com'/><target type='isa-serial' port='0'/></serial>
                <panic model='isa'/>
                {devices}
              </devices>
            </domain>
            """);
        Run("chmod", "644", file);
        _guests.Add(name);
        if (persistent)
        {
            Virsh("define", file);
            Virsh("start", name);
        }
        else
        {
            Virsh("create", file);
        }
        return new GuestTarget(GuestTargetKind.Libvirt, name);
    }

    /// <summary>Tells an <see cref="AlarmGuest"/> what to do.</summary>
    public void Tell(string name, char letter) => AlarmGuest.Tell(Path.Combine(Folder, name + ".com"), letter);

    private string SocketPath => Path.Combine(Folder, "run", "libvirt", "libvirt-sock");

    public string Uri => $"qemu:///session?socket={SocketPath}";

    public CaptureOptions Options(CaptureMode mode) => TestQemu.Options(mode) with { ConnectUri = Uri };

    /// <summary>Starts a transient guest that runs the bare guest's code. Skips the test where libvirt is not installed.</summary>
    public GuestTarget Start(string name, string extra = "", int mebibytes = 96)
    {
        if (_process is null)
            Assert.Skip(_missing!);
        var file = Path.Combine(Folder, name + ".xml");
        File.WriteAllText(
            file,
            $"""
            <domain type='qemu'>
              <name>{name}</name>
              <memory unit='MiB'>{mebibytes}</memory>
              <vcpu>2</vcpu>
              <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{Folder}/guest.bin</kernel></os>
              <features><acpi/><apic/></features>
              {extra}
              <devices><emulator>{TestQemu.Program}</emulator><memballoon model='none'/></devices>
            </domain>
            """);
        Run("chmod", "644", file);
        _guests.Add(name);
        Virsh("create", file);
        return new GuestTarget(GuestTargetKind.Libvirt, name);
    }

    /// <summary>The bare guest's counter by libvirt's own hand.</summary>
    public ulong Counter(GuestTarget target)
    {
        using var monitor = LibvirtMonitor.OpenAnywhere(Uri, target.Name, anyDriver: false, CancellationToken.None);
        var bytes = new byte[8];
        monitor.Domain.Peek(BareGuest.CounterAddress, bytes);
        return BitConverter.ToUInt64(bytes);
    }

    public void WaitForStamps(GuestTarget target) => TestQemu.WaitFor(() => Counter(target) > 2 * BareGuest.FieldPages, "the guest's counter");

    /// <summary>Ends a guest before the fixture does, so that guests do not fight for the host's cores.</summary>
    public void Stop(GuestTarget target)
    {
        _guests.Remove(target.Name);
        TryVirsh(out _, "destroy", target.Name);
    }

    /// <summary>Ends what earlier tests left, for one that listens to all guests.</summary>
    public void EndGuests()
    {
        foreach (var guest in _guests)
            TryVirsh(out _, "destroy", guest);
    }

    public string State(string name) => Virsh("domstate", name).Trim();

    /// <summary>A guest that was left in order can be saved, and comes back.</summary>
    public void AssertSavesAndRestores(string name)
    {
        var saved = Path.Combine(Folder, "data", name + "-saved");
        Virsh("save", name, saved);
        Virsh("restore", saved);
        Assert.Equal("running", State(name));
    }

    public string Virsh(params string[] arguments) => TryVirsh(out var output, arguments) ? output : throw new InvalidOperationException($"virsh {string.Join(' ', arguments)}: {output}");

    private bool TryVirsh(out string output, params string[] arguments)
    {
        var start = new ProcessStartInfo("/usr/bin/virsh") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["-c", Uri, .. arguments])
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(program, arguments);
        process.WaitForExit();
    }

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        if (_process is null)
            return;
        foreach (var guest in _guests)
            TryVirsh(out _, "destroy", guest);
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
        EndLeftGuests();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>What the daemon did not end, gone as it may be itself: nothing of a test's is left behind.</summary>
    private void EndLeftGuests()
    {
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            try
            {
                if (int.TryParse(Path.GetFileName(folder), out var id) && File.ReadAllText(folder + "/cmdline") is var command && command.Contains("qemu", StringComparison.Ordinal) && command.Contains(Folder, StringComparison.Ordinal))
                    Process.GetProcessById(id).Kill();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or InvalidOperationException)
            {
                // It has ended.
            }
        }
    }
}

/// <summary>One whose QEMU may make background snapshots, though it is no root's.</summary>
public sealed class SnapshotLibvirt() : TestLibvirt(maySnapshot: true);

/// <summary>Debian 13's, with the same right.</summary>
public sealed class NewerLibvirt() : TestLibvirt(maySnapshot: true, newer: true);
