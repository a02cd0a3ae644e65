using System.Globalization;

namespace Forengate.Guests;

/// <summary>Whether a QEMU may track its own memory (userfaultfd), which a background snapshot needs; seen from outside, and nothing asked of QEMU.</summary>
internal static class UserFaultRight
{
    private const string Device = "/dev/userfaultfd";

    /// <summary>First QEMU that opens /dev/userfaultfd before it tries the system call (util/userfaultfd.c).</summary>
    private static readonly Version s_deviceSince = new(8, 1);

    // linux/capability.h.
    private const int CapDacOverride = 1;
    private const int CapSysPtrace = 19;

    /// <summary>The namespace that the kernel asks for capabilities in: the first one (linux/proc_ns.h, PROC_USER_INIT_INO).</summary>
    private const string FirstUserNamespace = "user:[4026531837]";

    /// <summary>
    /// By the kernel's rule for userfaultfd(2): the system-wide switch, or CAP_SYS_PTRACE outside of user namespaces; or the device file, for a QEMU that uses it. Null when one of them
    /// lets it, else why not and what would.
    /// </summary>
    public static string? Obstacle(int qemu, Version? version)
    {
        if (ReadWord("/proc/sys/vm/unprivileged_userfaultfd") is not "0" || HasCapability(qemu, CapSysPtrace) != false)
            return null;
        const string Refused = "QEMU's user may not track its own memory (userfaultfd): set vm.unprivileged_userfaultfd=1 (sysctl)";
        if (!(version >= s_deviceSince))
            return Refused;
        // QEMU may have a /dev of its own: in a container, and under libvirt, which puts into it what qemu.conf names.
        return FileRights.Of($"/proc/{qemu}/root{Device}", out var unknown) is { } file
            ? MayOpen(qemu, file) ? null : $"{Refused}, or give QEMU's user read and write access to {Device}"
            : !File.Exists(Device) ? Refused
            : unknown && FileRights.Of(Device, out _) is { } outer && MayOpen(qemu, outer) ? null
            : $"{Refused}, or give QEMU's user {Device}, with read and write access, in QEMU's own /dev (a container's devices; libvirt's cgroup_device_acl in qemu.conf)";
    }

    /// <summary>Null where it can't be known.</summary>
    private static bool? HasCapability(int pid, int capability)
    {
        if (NumbersOf(pid, "CapEff:", NumberStyles.AllowHexSpecifier) is not [var mask, ..])
            return null;
        return (mask >> capability & 1) != 0 && IsInFirstUserNamespace(pid);
    }

    /// <summary>Elsewhere a process may have all capabilities and none that count here (rootless containers). True where the kernel does not tell.</summary>
    private static bool IsInFirstUserNamespace(int pid)
    {
        try
        {
            return new FileInfo($"/proc/{pid}/ns/user").LinkTarget is null or FirstUserNamespace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }

    private static bool MayOpen(int pid, FileRights file)
    {
        if (HasCapability(pid, CapDacOverride) == true)
            return true;
        // Real, effective, saved, and the one that files are opened with (proc(5)).
        const int ForFiles = 3;
        if (NumbersOf(pid, "Uid:") is not { Count: > ForFiles } users || NumbersOf(pid, "Gid:") is not { Count: > ForFiles } groups)
            return false;
        return file.AllowsReadAndWrite((uint)users[ForFiles], [(uint)groups[ForFiles], .. NumbersOf(pid, "Groups:").Select(group => (uint)group)]);
    }

    private static List<ulong> NumbersOf(int pid, string label, NumberStyles style = NumberStyles.None)
    {
        var line = LinesOf($"/proc/{pid}/status").FirstOrDefault(line => line.StartsWith(label, StringComparison.Ordinal));
        var numbers = new List<ulong>();
        foreach (var word in line?[label.Length..].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries) ?? [])
        {
            if (ulong.TryParse(word, style, CultureInfo.InvariantCulture, out var number))
                numbers.Add(number);
        }
        return numbers;
    }

    private static string? ReadWord(string path) => LinesOf(path).FirstOrDefault()?.Trim();

    private static List<string> LinesOf(string path)
    {
        try
        {
            return [.. File.ReadLines(path)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
