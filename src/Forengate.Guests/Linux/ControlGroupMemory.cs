using System.Globalization;

namespace Forengate.Guests;

/// <summary>
/// How much memory the control groups of this process still allow: of either version (admin-guide/cgroup-v2, "Memory"; admin-guide/cgroup-v1/memory). What a group has of files that nobody
/// used lately is given back before it is refused anything.
/// </summary>
internal static class ControlGroupMemory
{
    /// <param name="Prefix">What the line of <c>/proc/self/cgroup</c> has before the group's path.</param>
    /// <param name="Folder">Where the groups are, below the root of all.</param>
    /// <param name="Limit">File of a group's limit.</param>
    /// <param name="Used">File of what it has.</param>
    /// <param name="Idle">Entry of its <c>memory.stat</c>: files' pages that nobody used lately, with those of the groups below.</param>
    private readonly record struct Version(string Prefix, string Folder, string Limit, string Used, string Idle);

    private static readonly Version s_second = new("0::/", "", "memory.max", "memory.current", "inactive_file ");
    private static readonly Version s_first = new(":memory:/", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");

    /// <summary>The least of a group and those above it, in bytes; null where none has a limit, or they can't be read.</summary>
    /// <param name="list">The groups of this process.</param>
    /// <param name="root">The folder of all groups.</param>
    public static ulong? Left(string list = "/proc/self/cgroup", string root = "/sys/fs/cgroup")
    {
        try
        {
            ulong? least = null;
            foreach (var line in File.ReadLines(list))
            {
                if (Match(line) is not ({ } version, { } path))
                    continue;
                for (var group = path.TrimEnd('/'); ; group = group[..Math.Max(0, group.LastIndexOf('/'))])
                {
                    if (LeftIn(root + version.Folder + group, version) is { } left)
                        least = least is { } other ? Math.Min(other, left) : left;
                    if (group.Length == 0)
                        break;
                }
            }
            return least;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Why a QEMU's control groups do not let it have more memory: the kernel then ends it, for what we read (seen). Null when they do.</summary>
    /// <param name="pid">QEMU.</param>
    /// <param name="more">Bytes that its memory grows by when all of the guest's is read.</param>
    public static string? Obstacle(int pid, ulong more) => more == 0 || Left($"/proc/{pid}/cgroup") is not { } left || left >= more ? null
        : $"QEMU would have {Math.Max(1, more >> 20)} MiB more of the guest in memory (swapped out, or never given), and its control group has room for {left >> 20} MiB: the kernel might end it; "
            + "raise the group's limit (memory.max; under libvirt virsh memtune --hard-limit)";

    private static (Version Version, string Path)? Match(string line)
    {
        if (line.StartsWith(s_second.Prefix, StringComparison.Ordinal))
            return (s_second, line[(s_second.Prefix.Length - 1)..]);
        // "4:memory:/group"; a number is before it.
        var at = line.IndexOf(':', StringComparison.Ordinal);
        return at > 0 && line.AsSpan(at).StartsWith(s_first.Prefix, StringComparison.Ordinal) ? (s_first, line[(at + s_first.Prefix.Length - 1)..]) : null;
    }

    private static ulong? LeftIn(string folder, in Version version)
    {
        if (Number(Path.Combine(folder, version.Limit)) is not { } limit || Number(Path.Combine(folder, version.Used)) is not { } used)
            return null;
        used -= Math.Min(used, Idle(Path.Combine(folder, "memory.stat"), version.Idle));
        return limit > used ? limit - used : 0;
    }

    /// <summary>"max" is no number, and no limit.</summary>
    private static ulong? Number(string path) =>
        File.Exists(path) && ulong.TryParse(File.ReadAllText(path).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static ulong Idle(string path, string name)
    {
        if (!File.Exists(path))
            return 0;
        var line = File.ReadLines(path).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal));
        return line is not null && ulong.TryParse(line.AsSpan(name.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var bytes) ? bytes : 0;
    }
}
