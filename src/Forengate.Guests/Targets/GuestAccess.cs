using System.Globalization;
using System.Runtime.InteropServices;

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

    /// <summary>Looks at a process and asks nothing of it: whether its memory may be read.</summary>
    internal static string? NeedsOfProcess(int pid)
    {
        if (MayRead(pid))
            return null;
        // ptrace(2), "Ptrace access mode checking": user and group, all of real, effective and saved, or the capability.
        var (user, group) = (NameOf(pid, "Uid:", "/etc/passwd"), NameOf(pid, "Gid:", "/etc/group"));
        var same = user is null ? "the same user and group as QEMU" : $"the same user and group as QEMU ({user}:{group})";
        return $"CAP_SYS_PTRACE, or {same}{(RestrictsTracing() ? " with kernel.yama.ptrace_scope 0" : "")}, to read QEMU's memory (process {pid.ToString(CultureInfo.InvariantCulture)})";
    }

    /// <summary>The kernel judges before it looks at the address: page 0, which no process has, tells the right and reads nothing.</summary>
    private static unsafe bool MayRead(int pid)
    {
        byte nothing;
        var local = new LinuxNative.IoVector { Base = (ulong)&nothing, Length = 1 };
        var remote = new LinuxNative.IoVector { Base = 0, Length = 1 };
        if (LinuxNative.ProcessReadVectors(pid, &local, 1, &remote, 1, 0) >= 0 || Marshal.GetLastPInvokeError() == LinuxNative.EFAULT)
            return true;
        // A sandbox may forbid the call and leave the file.
        using var memory = new Descriptor(LinuxNative.Open($"/proc/{pid}/mem", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC));
        return !memory.IsInvalid;
    }

    /// <summary>"Uid: real effective saved file" (proc(5)), by its name where the host has one for it.</summary>
    private static string? NameOf(int pid, string line, string names)
    {
        var id = Lines($"/proc/{pid}/status").FirstOrDefault(text => text.StartsWith(line, StringComparison.Ordinal))?.Split('\t', StringSplitOptions.RemoveEmptyEntries).ElementAtOrDefault(2);
        return id is null ? null : Lines(names).Select(static text => text.Split(':')).FirstOrDefault(fields => fields.Length > 2 && fields[2] == id)?[0] ?? id;
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
