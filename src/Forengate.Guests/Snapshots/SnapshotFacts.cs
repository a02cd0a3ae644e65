using System.Text.Json;

namespace Forengate.Guests;

/// <summary>What guest RAM lies in, as far as it matters to a snapshot.</summary>
internal enum RamBackend
{
    Anonymous,

    /// <summary>memfd, /dev/shm or another tmpfs.</summary>
    SharedMemory,

    HugePages,

    /// <summary>A file on a disk.</summary>
    File,
}

/// <summary>Learns, changing nothing, whether QEMU can make a background snapshot of a guest, and what it costs.</summary>
internal static class SnapshotFacts
{
    /// <summary>First kernel whose userfaultfd write-protects shared memory and huge pages (Documentation/admin-guide/mm/userfaultfd.rst, UFFD_FEATURE_WP_HUGETLBFS_SHMEM).</summary>
    private static readonly Version s_sharedSince = new(5, 19);

    /// <summary>First QEMU that unprotects memory when a snapshot is cancelled.</summary>
    public static Version CancelSafeSince { get; } = new(8, 1);

    private const double FixedMilliseconds = 5;

    // Measured with QEMU 7.2 (docs/capture.md), rounded up.
    private const double LargePageMillisecondsPerGiB = 4;
    private const double SmallPageMillisecondsPerGiB = 16;

    /// <summary>Why QEMU can't make a background snapshot of this guest, and what would allow it; null when nothing speaks against it.</summary>
    public static string? Obstacle(GuestSession session, CancellationToken ct)
    {
        var monitor = session.Monitor;
        if (!(monitor.TryQmp("query-migrate-capabilities", null, ct) ?? default).Items().Any(item => item.Text("capability") == MigrationSettings.Snapshot))
            return $"this QEMU ({QemuVersion(monitor, ct)?.ToString() ?? "of unknown version"}) knows no background snapshot (6.0 and later do)";
        if (BlockedBy(monitor, ct) is { } blocked)
            return blocked;
        if (SettingObstacle(monitor, ct) is { } setting)
            return setting;
        if (BackendObstacle(session) is { } backend)
            return backend;
        return UserFaultRight.Obstacle(session.Process.Id, QemuVersion(monitor, ct));
    }

    /// <summary>How long the guest is expected to stand still: a bound from measurements, not a promise.</summary>
    public static TimeSpan ExpectedPause(GuestSession session)
    {
        // Protecting is by page; of a shared backend, each is small to the one that maps it.
        var large = Math.Min(LargePages.Of(session.Map, session.Process).Bytes, session.Map.Size);
        return TimeSpan.FromMilliseconds(
            FixedMilliseconds + (((LargePageMillisecondsPerGiB * large) + (SmallPageMillisecondsPerGiB * (session.Map.Size - large))) / (1UL << 30)));
    }

    public static Version? QemuVersion(IGuestMonitor monitor, CancellationToken ct) => monitor.TryQmp("query-version", null, ct) is { } answer ? VersionIn(answer) : null;

    /// <summary>What QEMU answers to query-version.</summary>
    public static Version? VersionIn(JsonElement answer) =>
        answer.TryGetObject("qemu", out var qemu) && qemu.Integer("major") is { } major && qemu.Integer("minor") is { } minor
            ? new Version((int)major, (int)minor, (int)(qemu.Integer("micro") ?? 0)) : null;

    /// <summary>What guest RAM lies in.</summary>
    public static IReadOnlySet<RamBackend> Backends(GuestSession session)
    {
        var mappings = session.Process.ReadMappings();
        var found = new HashSet<RamBackend>();
        foreach (var section in session.Map.Sections)
        {
            if (ProcessMap.Find(mappings, section.HostAddress) is { } mapping)
                found.Add(BackendOf(session.Process.Id, mapping));
        }
        return found;
    }

    /// <summary>Host memory that a snapshot makes QEMU allocate: pages of shared RAM that the guest never touched are made present when they are protected, and what was swapped out is read.</summary>
    public static ulong AllocatedBytes(GuestSession session)
    {
        var missing = 0UL;
        try
        {
            foreach (var use in RamUse.Of(session.Map, session.Process.Id))
            {
                var length = use.Mapping.End - use.Mapping.Start;
                if (BackendOf(session.Process.Id, use.Mapping) == RamBackend.SharedMemory)
                    missing += length - Math.Min(use.Resident, length);
                else if (use.Mapping.Inode == 0)
                    missing += Math.Min(use.Swapped, length);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return session.Map.Size;
        }
        return missing;
    }

    /// <summary>By the file system of the file itself, which in a container may be anywhere; by its name where it can't be opened.</summary>
    internal static RamBackend BackendOf(int pid, in ProcessMapping mapping)
    {
        return mapping.Inode == 0 ? RamBackend.Anonymous : SharedBackends.FileSystemOf(pid, mapping) switch
        {
            FileSystemKind.Tmpfs => RamBackend.SharedMemory,
            FileSystemKind.Hugetlb => RamBackend.HugePages,
            null => BackendOf(mapping),
            _ => RamBackend.File,
        };
    }

    internal static RamBackend BackendOf(in ProcessMapping mapping) => mapping switch
    {
        { Inode: 0 } => RamBackend.Anonymous,
        // What the kernel calls shared memory without a file.
        { Path: "/dev/zero (deleted)" } => RamBackend.SharedMemory,
        _ when mapping.Path.Contains("/memfd:", StringComparison.Ordinal) || mapping.Path.StartsWith("/dev/shm/", StringComparison.Ordinal) || mapping.Path.StartsWith("/run/", StringComparison.Ordinal) => RamBackend.SharedMemory,
        _ when mapping.Path.Contains("hugepages", StringComparison.Ordinal) || mapping.Path.StartsWith("/anon_hugepage", StringComparison.Ordinal) => RamBackend.HugePages,
        _ => RamBackend.File,
    };

    /// <summary>Why QEMU can't give its devices' state now; null when it says nothing against it.</summary>
    public static string? MigrationObstacle(IGuestMonitor monitor, CancellationToken ct)
    {
        if (monitor.TryQmp("query-migrate", null, ct) is not { } migration)
            return null;
        if (MonitorCommands.IsAtWork(migration.Text("status")))
            return "a migration, save or snapshot of the guest is at work";
        return migration.ValueKind == JsonValueKind.Object && migration.TryGetProperty("blocked-reasons", out var reasons)
            && reasons.Items().FirstOrDefault() is { ValueKind: JsonValueKind.String } first
            ? $"a device of the guest does not let it be migrated ({first.GetString()})" : null;
    }

    private static string? BlockedBy(IGuestMonitor monitor, CancellationToken ct)
    {
        if (MigrationObstacle(monitor, ct) is { } obstacle)
            return obstacle;
        foreach (var container in (ReadOnlySpan<string>)["/machine/peripheral", "/machine/peripheral-anon"])
        {
            foreach (var child in (monitor.TryQmp("qom-list", w => w.WriteString("path", container), ct) ?? default).Items())
            {
                if (child.Text("type") is { } type && (type.StartsWith("child<vhost-user", StringComparison.Ordinal) || type.StartsWith("child<vfio", StringComparison.Ordinal)))
                    return $"the device {child.Text("name")} ({type[6..].TrimEnd('>')}) writes guest memory past QEMU, and a snapshot would not be of one instant";
            }
        }
        return monitor.TryHuman("info network", ct).Contains("type=vhost-user", StringComparison.Ordinal)
            ? "a network device on vhost-user writes guest memory past QEMU, and a snapshot would not be of one instant" : null;
    }

    /// <summary>Migration parameters that would make another thing of it (qapi/migration.json, MigrationParameters: tls-creds, mode since QEMU 8.2).</summary>
    private static string? SettingObstacle(IGuestMonitor monitor, CancellationToken ct)
    {
        if (monitor.TryQmp("query-migrate-parameters", null, ct) is not { } parameters)
            return null;
        if (parameters.Text("tls-creds") is { Length: > 0 } credentials)
            return $"QEMU is set to encrypt what it sends (migration parameter tls-creds: {credentials}), and we could not read it; set it to \"\"";
        return parameters.Text("mode") is not (null or "normal") and var mode ? $"QEMU is set to be started anew at its next migration (migration parameter mode: {mode}); set it to normal" : null;
    }

    /// <summary>Of a guest whose RAM is a file on a disk.</summary>
    internal const string FileObstacle = "guest RAM lies in a file on a disk, whose pages the kernel can't protect against writes; give the guest memory from memfd or anonymous memory";

    private static string? BackendObstacle(GuestSession session)
    {
        foreach (var backend in Backends(session))
        {
            if (backend == RamBackend.File)
                return FileObstacle;
            if (backend != RamBackend.Anonymous && Environment.OSVersion.Version < s_sharedSince)
                return $"guest RAM is shared or of huge pages, which the kernel can protect against writes from {s_sharedSince} on (this is {Environment.OSVersion.Version})";
        }
        return null;
    }
}
