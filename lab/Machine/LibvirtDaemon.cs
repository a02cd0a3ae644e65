using System.Diagnostics;
using System.Globalization;

namespace Forengate.Lab.Machine;

/// <summary>
/// A libvirt of one's own below a directory: an unprivileged <c>libvirtd</c> (the session kind) whose configuration, state, cache and sockets all lie there.
/// It never sees the host's own set-up.
/// </summary>
/// <remarks>
/// libvirtd takes itself for the host's daemon, with fixed directories, when its user is root. For root it is therefore started in a user namespace that
/// calls root "daemon": outside, processes and files are root's still, but nothing in it has a privilege left.
/// The first daemon on a host asks QEMU what it can do, which takes seconds; the answers are kept in <c>forengate-lab</c> in the user's cache directory.
/// </remarks>
public sealed class LibvirtDaemon : IDisposable
{
    // Exists in every passwd file, so libvirt finds a name for it.
    private const string UnprivilegedId = "1";
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(5);

    private readonly string _directory;
    private readonly ProcessIdentity _process;

    private LibvirtDaemon(string directory, ProcessIdentity process)
    {
        _directory = directory;
        _process = process;
    }

    /// <summary>What clients (virsh, libvirt.so) connect to.</summary>
    public string Uri => $"qemu+unix:///session?socket={SocketPath(_directory)}";

    public int Pid => _process.Pid;

    /// <summary>Where the daemon keeps what it knows of running domains: <c>NAME.pid</c>, <c>NAME.xml</c>.</summary>
    public string RunDirectory => Path.Combine(_directory, "run", "libvirt", "qemu", "run");

    private static string Cache => Path.Combine(
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache ? cache
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"), "forengate-lab");

    private static string SocketPath(string directory) => Path.Combine(directory, "run", "libvirt", "libvirt-sock");
    private static string PidPath(string directory) => Path.Combine(directory, "libvirtd.process");

    /// <summary>Starts a daemon below a directory, or finds the one that runs there.</summary>
    /// <param name="directory">For everything that is its own.</param>
    /// <param name="settings">Further lines for qemu.conf.</param>
    /// <param name="runner">What runs the daemon, and with it QEMU, somewhere else: a program and its arguments before the command. Sockets and files must be the same there.</param>
    /// <exception cref="MachineException">It does not come up, with its log.</exception>
    public static LibvirtDaemon Start(string directory, string settings = "", params IReadOnlyList<string> runner) => Start(directory, settings, "", runner);

    /// <summary>Starts a daemon that listens on TCP too, without authentication: for an address of loopback.</summary>
    /// <param name="directory">For everything that is its own.</param>
    /// <param name="address">"127.0.0.1".</param>
    /// <param name="port">TCP port.</param>
    /// <exception cref="MachineException">It does not come up, with its log.</exception>
    public static LibvirtDaemon StartListening(string directory, string address, int port) => Start(
        directory, "", string.Create(CultureInfo.InvariantCulture, $"listen_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{address}\"\ntcp_port = \"{port}\"\nauth_tcp = \"none\"\n"), []);

    private static LibvirtDaemon Start(string directory, string settings, string listening, IReadOnlyList<string> runner)
    {
        directory = Path.GetFullPath(directory);
        if (Open(directory) is { } running)
            return running;
        if (SocketPath(directory).Length > 100)
            throw new MachineException($"{directory}: too long for a socket below it; use a directory with a shorter name");
        var config = Path.Combine(directory, "config", "libvirt");
        foreach (var made in new[] { config, Path.Combine(directory, "home"), Cache, Path.Combine(directory, "data"), Path.Combine(directory, "ram"), Path.Combine(directory, "run") })
            Directory.CreateDirectory(made);
        File.WriteAllText(Path.Combine(config, "libvirtd.conf"), "auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n" + listening);
        File.WriteAllText(Path.Combine(config, "qemu.conf"),
            $"security_driver = \"none\"\nstdio_handler = \"file\"\nremember_owner = 0\nnamespaces = []\ncgroup_controllers = []\nmemory_backing_dir = \"{Path.Combine(directory, "ram")}\"\n{settings}\n");
        Directory.CreateDirectory(Path.GetDirectoryName(SocketPath(directory))!);
        File.Delete(SocketPath(directory));

        var log = Path.Combine(directory, "libvirtd.log");
        var process = Launch(directory, config, log, listening.Length > 0, runner);
        var daemon = new LibvirtDaemon(directory, process);
        File.WriteAllText(PidPath(directory), string.Create(CultureInfo.InvariantCulture, $"{process.Pid} {process.StartTime}\n"));
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < StartTimeout && process.IsAlive; Thread.Sleep(20))
        {
            if (!File.Exists(SocketPath(directory)))
                continue;
            // The first connection waits until the drivers are up.
            LibvirtDomain.Virsh(daemon.Uri, ["list", "--name"]);
            return daemon;
        }
        daemon.Stop();
        throw new MachineException($"libvirtd did not come up: {Tail(log)}");
    }

    /// <summary>The daemon that runs below a directory, or null.</summary>
    public static LibvirtDaemon? Open(string directory)
    {
        directory = Path.GetFullPath(directory);
        try
        {
            var words = File.ReadAllText(PidPath(directory)).Split(' ', '\n');
            var process = new ProcessIdentity(int.Parse(words[0], CultureInfo.InvariantCulture), ulong.Parse(words[1], CultureInfo.InvariantCulture));
            return process.IsAlive ? new LibvirtDaemon(directory, process) : null;
        }
        catch (Exception e) when (e is IOException or FormatException or IndexOutOfRangeException)
        {
            return null;
        }
    }

    /// <summary>Ends the domains that still run, then the daemon. True when it is gone.</summary>
    public bool Stop()
    {
        if (_process.IsAlive && File.Exists(SocketPath(_directory)))
        {
            try
            {
                foreach (var name in LibvirtDomain.Virsh(Uri, ["list", "--name"]).Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
                    LibvirtDomain.Destroy(Uri, name);
            }
            catch (MachineException)
            {
                // A daemon that does not answer is ended all the same.
            }
        }
        var gone = _process.End(EndTimeout);
        // Whoever stops it and clears its folder away may dispose it after that.
        if (gone && Directory.Exists(_directory))
            File.Delete(PidPath(_directory));
        return gone;
    }

    public void Dispose() => Stop();

    private static ProcessIdentity Launch(string directory, string config, string log, bool listens, IReadOnlyList<string> runner)
    {
        // The shell only redirects and reports its number; exec keeps it through setsid, unshare and libvirtd.
        string[] unprivileged = Environment.UserName == "root" ? ["unshare", "--user", $"--map-user={UnprivilegedId}", $"--map-group={UnprivilegedId}"] : [];
        string[] command = ["setsid", .. runner, .. unprivileged, "libvirtd", "-f", Path.Combine(config, "libvirtd.conf"), .. listens ? (string[])["--listen"] : []];
        var environment = new Dictionary<string, string>
        {
            ["HOME"] = Path.Combine(directory, "home"), ["XDG_RUNTIME_DIR"] = Path.Combine(directory, "run"),
            ["XDG_CONFIG_HOME"] = Path.Combine(directory, "config"), ["XDG_CACHE_HOME"] = Cache,
            ["XDG_DATA_HOME"] = Path.Combine(directory, "data"), ["LC_ALL"] = "C",
        };
        var outcome = Launcher.Run("/bin/sh",
            ["-c", "log=$1; shift; \"$@\" >\"$log\" 2>&1 </dev/null & echo $!", "sh", log, .. command], StartTimeout, environment);
        if (!int.TryParse(outcome.Output.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
            throw new MachineException($"libvirtd was not started: {outcome.Error.Trim()}");
        Thread.Sleep(50);
        return ProcessIdentity.Of(pid) ?? throw new MachineException($"libvirtd ended at once: {Tail(log)}");
    }

    private static string Tail(string log)
    {
        const int most = 1000;
        if (!File.Exists(log))
            return "no log";
        var text = File.ReadAllText(log).Trim();
        return text[Math.Max(0, text.Length - most)..];
    }
}
