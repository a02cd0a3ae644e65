using System.Globalization;

namespace Forengate.Guests;

/// <summary>What we may do with one guest, and the least right that would allow what we may not.</summary>
/// <param name="ProcessId">QEMU's process on this host; null where none was found.</param>
/// <param name="MonitorNeeds">What it takes to ask QEMU's monitor; null where we may.</param>
/// <param name="MemoryNeeds">What it takes to read QEMU's memory; null where we may.</param>
public sealed record GuestAccess(int? ProcessId, string? MonitorNeeds, string? MemoryNeeds)
{
    /// <summary>All that is lacking, as the rest of a sentence ("needs …"); null where nothing is.</summary>
    public string? Needs => (MonitorNeeds, MemoryNeeds) switch
    {
        (null, null) => null,
        ({ } monitor, null) => monitor,
        (null, { } memory) => memory,
        var (monitor, memory) => $"{monitor}; and {memory}",
    };

    /// <summary>Looks at a process and asks nothing of it: whether its memory may be opened for reading.</summary>
    internal static string? NeedsOfProcess(int pid)
    {
        // The kernel's check for process_vm_readv and for opening this file is the same (mm_access, PTRACE_MODE_ATTACH); opening it reads nothing.
        using var memory = new Descriptor(LinuxNative.Open($"/proc/{pid}/mem", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC));
        if (!memory.IsInvalid)
            return null;
        var user = UserOf(pid);
        var same = user is null ? "the same user as QEMU" : $"the same user as QEMU ({user})";
        return $"CAP_SYS_PTRACE, or {same}{(RestrictsTracing() ? " with kernel.yama.ptrace_scope 0" : "")}, to read QEMU's memory (process {pid.ToString(CultureInfo.InvariantCulture)})";
    }

    private static string? UserOf(int pid)
    {
        // "Uid: real effective saved file" (proc(5)).
        var id = Lines($"/proc/{pid}/status").FirstOrDefault(static line => line.StartsWith("Uid:", StringComparison.Ordinal))?.Split('\t', StringSplitOptions.RemoveEmptyEntries).ElementAtOrDefault(2);
        if (id is null)
            return null;
        return Lines("/etc/passwd").Select(static line => line.Split(':')).FirstOrDefault(fields => fields.Length > 2 && fields[2] == id)?[0] ?? $"uid {id}";
    }

    private static bool RestrictsTracing() => Lines("/proc/sys/kernel/yama/ptrace_scope").FirstOrDefault()?.Trim() is { } scope and not "0";

    private static List<string> Lines(string path)
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
