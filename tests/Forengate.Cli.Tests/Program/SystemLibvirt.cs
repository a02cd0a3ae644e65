using System.Diagnostics;
using System.Globalization;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>
/// libvirt's system daemon as a distribution sets it up (root's, a read-write socket for the group libvirt, a read-only one for everybody, QEMU under a user of its own), in a mount and network namespace of its own: the
/// host's libvirt, its files and its network are neither seen nor touched. Whoever is to meet it is run in that namespace.
/// </summary>
internal sealed class SystemLibvirt : IDisposable
{
    public const string Group = "libvirt";
    public const string QemuUser = "libvirt-qemu";
    private const string Nobody = "65534";

    /// <summary>What QEMU can do is asked once and kept here: libvirt's own cache, of no use to anybody else.</summary>
    private static readonly string s_cache = Path.Combine(Path.GetTempPath(), "forengate-tests-libvirt-cache");

    private readonly Process _daemon;
    private readonly string _folder = TwinFolders.New();
    private readonly List<string> _guests = [];

    private SystemLibvirt()
    {
        Directory.CreateDirectory(s_cache);
        var script = Path.Combine(_folder, "start.sh");
        File.WriteAllText(script, $"""
            set -e
            mount --make-rprivate /
            for at in /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt; do mkdir -p $at; mount -t tmpfs -o mode=755 tmpfs $at; done
            mkdir -p /var/cache/libvirt; mount --bind {s_cache} /var/cache/libvirt
            printf '%s\n' 'unix_sock_group = "{Group}"' 'unix_sock_ro_perms = "0777"' 'unix_sock_rw_perms = "0770"' 'auth_unix_ro = "none"' 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf
            printf '%s\n' 'security_driver = "none"' 'cgroup_controllers = []' 'namespaces = []' 'stdio_handler = "file"' 'remember_owner = 0' >/etc/libvirt/qemu.conf
            exec libvirtd -f /etc/libvirt/libvirtd.conf >/dev/null 2>{_folder}/libvirtd.log
            """);
        _daemon = Process.Start(new ProcessStartInfo("unshare", ["--mount", "--net", "sh", script]))!;
    }

    /// <summary>Starts it, or skips the test where that can't be: another user than root, no libvirt, no such groups.</summary>
    public static SystemLibvirt Start()
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists("/usr/sbin/libvirtd") || IdOf("/etc/group", Group) is null || IdOf("/etc/passwd", QemuUser) is null)
            Assert.Skip("needs root and Debian's libvirt-daemon-system");
        var libvirt = new SystemLibvirt();
        try
        {
            for (var until = Environment.TickCount64 + 60_000; ; Thread.Sleep(50))
            {
                if (libvirt.TryVirsh(out var said, "list"))
                    return libvirt;
                if (Environment.TickCount64 > until || libvirt._daemon.HasExited)
                    Assert.Fail($"libvirtd does not come up: {said}");
            }
        }
        catch
        {
            libvirt.Dispose();
            throw;
        }
    }

    /// <summary>Starts a guest that only its firmware runs in.</summary>
    /// <returns>QEMU's process.</returns>
    public int Define(string name, string memoryBacking)
    {
        var file = Path.Combine(_folder, name + ".xml");
        File.WriteAllText(file, $"""
            <domain type='qemu'>
              <name>{name}</name>
              <maxMemory slots='4' unit='MiB'>512</maxMemory>
              <memory unit='MiB'>192</memory>
              <memoryBacking>{memoryBacking}</memoryBacking>
              <vcpu>2</vcpu>
              <os><type arch='x86_64' machine='q35'>hvm</type></os>
              <features><acpi/></features>
              <cpu mode='custom' match='exact'><model>qemu64</model><numa><cell id='0' cpus='0' memory='64' unit='MiB'/><cell id='1' cpus='1' memory='64' unit='MiB'/></numa></cpu>
              <devices>
                <emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/>
                <memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory>
              </devices>
            </domain>
            """);
        Assert.True(TryVirsh(out var said, "create", file), said);
        _guests.Add(name);
        Assert.True(TryVirsh(out var xml, "dumpxml", name), xml);
        return int.Parse(File.ReadAllText($"/proc/{_daemon.Id}/root/run/libvirt/qemu/{name}.pid"), CultureInfo.InvariantCulture);
    }

    /// <summary>Runs the program as root there.</summary>
    public ProgramOutcome AsRoot(params IReadOnlyList<string> arguments) => ForengateProgram.RunUnder(Inside, arguments);

    /// <summary>Runs the program as nobody there, in groups besides.</summary>
    public ProgramOutcome AsNobody(string? group, IReadOnlyList<string> more, params IReadOnlyList<string> arguments) => ForengateProgram.RunUnder(
        [.. Inside, "setpriv", $"--reuid={Nobody}", $"--regid={Nobody}", group is null ? "--clear-groups" : $"--groups={IdOf("/etc/group", group)}", .. more], arguments);

    /// <summary>Runs the program there as the user and group that a process has.</summary>
    public ProgramOutcome AsUserOf(int pid, string group, params IReadOnlyList<string> arguments)
    {
        string Id(string line) => File.ReadLines($"/proc/{pid}/status").Single(text => text.StartsWith(line, StringComparison.Ordinal)).Split('\t')[1];
        return ForengateProgram.RunUnder([.. Inside, "setpriv", $"--reuid={Id("Uid:")}", $"--regid={Id("Gid:")}", $"--groups={IdOf("/etc/group", group)}"], arguments);
    }

    private string[] Inside => ["nsenter", "--target", _daemon.Id.ToString(CultureInfo.InvariantCulture), "--mount"];

    private static string? IdOf(string file, string name) => File.ReadLines(file).Select(line => line.Split(':')).FirstOrDefault(fields => fields[0] == name)?[2];

    private bool TryVirsh(out string said, params string[] arguments)
    {
        string[] command = [.. Inside, "virsh", "-c", "qemu:///system", .. arguments];
        using var process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        said = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    public void Dispose()
    {
        foreach (var guest in _guests)
            TryVirsh(out _, "destroy", guest);
        _daemon.Kill();
        _daemon.WaitForExit();
        _daemon.Dispose();
    }
}
