using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>The QEMU process, held by a descriptor that stands for this process and never for a later one of the same number.</summary>
internal sealed class QemuProcess : IDisposable
{
    private readonly Descriptor _identity;

    private QemuProcess(int id, Descriptor identity)
    {
        Id = id;
        _identity = identity;
    }

    public int Id { get; }

    /// <summary>The process itself (pidfd), whoever has its number later.</summary>
    public Descriptor Identity => _identity;

    public bool HasEnded => LinuxNative.HasEnded(_identity.Number);

    /// <summary>The process behind a QMP socket.</summary>
    public static QemuProcess Of(QmpMonitor monitor, CancellationToken ct)
    {
        var seen = new List<string>();
        foreach (var id in Candidates(monitor))
        {
            if (TryOpen(id) is not { } process)
                continue;
            if (process.Runs(monitor, ct) && LooksLikeQemu(id))
                return process;
            seen.Add(string.Create(CultureInfo.InvariantCulture, $"{id} ({ProgramOf(id)})"));
            process.Dispose();
        }
        throw new GuestException(
            GuestFailure.NotQemu,
            $"{monitor.Name}: no QEMU process of this host runs this guest's vCPUs{(seen.Count > 0 ? "; looked at " + string.Join(", ", seen) : "")}; run forengate on the host itself, not in a container");
    }

    /// <summary>The process of a libvirt domain.</summary>
    public static QemuProcess Of(LibvirtMonitor monitor, CancellationToken ct)
    {
        var uuid = monitor.Uuid.ToString("D", CultureInfo.InvariantCulture);
        foreach (var id in WithArgument("-uuid", uuid))
        {
            if (TryOpen(id) is not { } process)
                continue;
            if (process.Runs(monitor, ct))
                return process;
            process.Dispose();
        }
        throw new GuestException(
            GuestFailure.Remote,
            $"{monitor.Name}: libvirt says the guest runs, but no process of this host has its UUID {uuid}; run forengate on the host where QEMU runs, outside of containers");
    }

    /// <summary>Why the memory of a domain's QEMU can't be read from here; null when it can.</summary>
    internal static string? WhyNotReadable(Guid uuid)
    {
        var id = FindByUuid(uuid);
        if (id is null)
            return "no process of this host has the guest's UUID";
        // Opening it asks the kernel for the right to trace, which reading needs (proc(5), ptrace(2): PTRACE_MODE_ATTACH_FSCREDS).
        using var memory = new Descriptor(LinuxNative.Open($"/proc/{id}/mem", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC));
        return memory.IsInvalid
            ? string.Create(CultureInfo.InvariantCulture, $"no right to read the memory of QEMU (process {id}): {LinuxNative.Describe(Marshal.GetLastPInvokeError())}") : null;
    }

    /// <summary>The QEMU that was started with a UUID, by its command line, which everybody may read; null when none is in sight.</summary>
    public static int? FindByUuid(Guid uuid)
    {
        foreach (var id in WithArgument("-uuid", uuid.ToString("D", CultureInfo.InvariantCulture)))
            return id;
        return null;
    }

    /// <summary>A process by its number alone, for a QEMU that answers no more.</summary>
    /// <exception cref="GuestException">There is none, or it is not QEMU.</exception>
    public static QemuProcess Of(int id)
    {
        if (TryOpen(id) is not { } process)
            throw new GuestException(GuestFailure.NotFound, $"pid:{id}: there is no such process on this host");
        if (LooksLikeQemu(id))
            return process;
        process.Dispose();
        throw new GuestException(GuestFailure.NotQemu, $"pid:{id} is {ProgramOf(id)}, not QEMU");
    }

    /// <summary>Null where there is none any more.</summary>
    internal static QemuProcess? TryOf(int id) => TryOpen(id);

    /// <summary>The command line; empty where it can't be read.</summary>
    public string[] ReadArguments() => ArgumentsOf(Id);

    /// <summary>The command line of a process, which everybody may read; empty where it can't be.</summary>
    internal static string[] ArgumentsOf(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline").Split('\0');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>True when all its threads are stopped (by a signal or a debugger), so that nothing in it moves.</summary>
    public bool StandsStill()
    {
        try
        {
            foreach (var folder in Directory.EnumerateDirectories($"/proc/{Id}/task"))
            {
                if (ProcessStat.Read(folder)?.State is not ('T' or 't'))
                    return false;
            }
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Who listens by the kernel's word; else whoever holds the listening socket of that path (QEMU given a socket by its parent).</summary>
    private static IEnumerable<int> Candidates(QmpMonitor monitor)
    {
        if (monitor.PeerProcess is { } peer)
            yield return peer;
        var inodes = new HashSet<string>(StringComparer.Ordinal);
        var path = Path.GetFullPath(monitor.SocketPath);
        foreach (var line in LinesOf("/proc/net/unix"))
        {
            if (line.EndsWith(" " + path, StringComparison.Ordinal) && line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is { Length: >= 8 } fields)
                inodes.Add($"socket:[{fields[6]}]");
        }
        if (inodes.Count == 0)
            yield break;
        foreach (var id in Processes())
        {
            if (id != monitor.PeerProcess && LooksLikeQemu(id) && Descriptors(id).Any(inodes.Contains))
                yield return id;
        }
    }

    private static QemuProcess? TryOpen(int id)
    {
        var started = StartTime(id);
        var identity = new Descriptor(LinuxNative.OpenProcess(id));
        if (!identity.IsInvalid && started is not null && StartTime(id) == started)
            return new QemuProcess(id, identity);
        identity.Dispose();
        return null;
    }

    /// <summary>True when the vCPU threads that QEMU names are threads of this process: the proof that process and monitor belong together.</summary>
    private bool Runs(IGuestMonitor monitor, CancellationToken ct)
    {
        var threads = new HashSet<long>();
        foreach (var cpu in monitor.Qmp("query-cpus-fast", null, ct).Items())
        {
            if (cpu.Integer("thread-id") is { } thread)
                threads.Add(thread);
        }
        if (threads.Count == 0)
            return false;
        try
        {
            var own = new HashSet<long>();
            foreach (var folder in Directory.EnumerateDirectories($"/proc/{Id}/task"))
                own.Add(InnerThreadId(folder));
            return threads.IsSubsetOf(own);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>The thread's number as itself sees it, which differs from ours when QEMU runs in a container (proc(5), NSpid).</summary>
    private static long InnerThreadId(string folder)
    {
        foreach (var line in LinesOf(folder + "/status"))
        {
            if (line.StartsWith("NSpid:", StringComparison.Ordinal)
                && long.TryParse(line.AsSpan(line.LastIndexOf('\t') + 1), NumberStyles.None, null, out var inner))
            {
                return inner;
            }
        }
        return long.TryParse(Path.GetFileName(folder), NumberStyles.None, null, out var id) ? id : -1;
    }

    /// <summary>By the program's name: qemu-system-x86_64, qemu-kvm.</summary>
    private static bool LooksLikeQemu(int id) => ProgramOf(id).Contains("qemu", StringComparison.OrdinalIgnoreCase);

    private static string ProgramOf(int id)
    {
        try
        {
            return Path.GetFileName(File.ResolveLinkTarget($"/proc/{id}/exe", returnFinalTarget: false)?.FullName) ?? "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Without the right to see the program, its name for the scheduler has to do.
            return LinesOf($"/proc/{id}/comm").FirstOrDefault() ?? "";
        }
    }

    private static IEnumerable<int> WithArgument(string option, string value)
    {
        foreach (var id in Processes())
        {
            string[] arguments;
            try
            {
                arguments = File.ReadAllText($"/proc/{id}/cmdline").Split('\0');
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                continue;
            }
            var at = Array.IndexOf(arguments, option);
            if (at >= 0 && at + 1 < arguments.Length && string.Equals(arguments[at + 1], value, StringComparison.OrdinalIgnoreCase))
                yield return id;
        }
    }

    /// <summary>Processes that run machines, by the name of their program: QEMU's tools have "qemu" in theirs too.</summary>
    internal static IEnumerable<int> Machines() => Processes().Where(static id => IsMachine(ProgramOf(id)) || IsMachine(Path.GetFileName(ArgumentsOf(id).FirstOrDefault() ?? "")));

    private static bool IsMachine(string program) => program.StartsWith("qemu-system-", StringComparison.Ordinal) || program is "qemu-kvm" or "kvm";

    /// <summary>How many threads a process has; 0 where it has ended.</summary>
    internal static int ThreadsOf(int id)
    {
        try
        {
            return Directory.EnumerateDirectories($"/proc/{id}/task").Count();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>A path as a process means it; null where it is relative and we may not know to what.</summary>
    internal static string? PathOf(int id, string path)
    {
        if (Path.IsPathRooted(path))
            return path;
        try
        {
            return new FileInfo($"/proc/{id}/cwd").LinkTarget is { } folder ? Path.GetFullPath(path, folder) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static IEnumerable<int> Processes()
    {
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, null, out var id))
                yield return id;
        }
    }

    private static List<string> Descriptors(int id)
    {
        var targets = new List<string>();
        try
        {
            foreach (var link in Directory.EnumerateFiles($"/proc/{id}/fd"))
            {
                if (new FileInfo(link).LinkTarget is { } target)
                    targets.Add(target);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
        return targets;
    }

    private static ulong? StartTime(int id) => ProcessStat.Read($"/proc/{id}")?.StartTime;

    private static List<string> LinesOf(string path)
    {
        var lines = new List<string>();
        try
        {
            lines.AddRange(File.ReadLines(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
        return lines;
    }

    /// <exception cref="GuestException">The process ended, or we may not look at it.</exception>
    public List<ProcessMapping> ReadMappings()
    {
        try
        {
            var mappings = ProcessMap.Read(Id);
            if (mappings.Count == 0)
                throw HasEnded ? Vanished() : NoRights("its memory map is empty to us");
            return mappings;
        }
        catch (Exception e) when (e is (IOException or UnauthorizedAccessException) and not GuestException)
        {
            throw HasEnded ? Vanished() : NoRights(e.Message);
        }
    }

    /// <summary>Reads a word of the process to find out whether we may.</summary>
    /// <exception cref="GuestException">We may not, or the process ended.</exception>
    public unsafe void ProveReadable(ulong hostAddress)
    {
        ulong word;
        var local = new LinuxNative.IoVector { Base = (ulong)&word, Length = sizeof(ulong) };
        var remote = new LinuxNative.IoVector { Base = hostAddress, Length = sizeof(ulong) };
        if (LinuxNative.ProcessReadVectors(Id, &local, 1, &remote, 1, 0) == sizeof(ulong))
            return;
        var error = Marshal.GetLastPInvokeError();
        if (HasEnded)
            throw Vanished();
        // A sandbox may forbid the call and leave the file (LiveMemory reads through it then).
        using var file = new Descriptor(LinuxNative.Open($"/proc/{Id}/mem", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC));
        if (!file.IsInvalid && LinuxNative.ReadAt(file.Number, (byte*)&word, sizeof(ulong), (long)hostAddress) == sizeof(ulong))
            return;
        throw NoRights(LinuxNative.Describe(error));
    }

    public GuestException Vanished() => new(GuestFailure.Vanished, $"QEMU (process {Id}) ended while its memory was being read; what was read is not whole");

    private GuestException NoRights(string why) => new(
        GuestFailure.NoRights,
        $"no right to read the memory of QEMU (process {Id}): {why}; run as root, or give the program CAP_SYS_PTRACE; as QEMU's own user kernel.yama.ptrace_scope must be 0");

    public void Dispose() => _identity.Dispose();
}
