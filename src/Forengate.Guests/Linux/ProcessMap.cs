using System.Globalization;

namespace Forengate.Guests;

/// <summary>One line of <c>/proc/PID/maps</c> (proc(5)).</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte behind.</param>
/// <param name="Shared">Mapped shared.</param>
/// <param name="Offset">Offset in the file mapped.</param>
/// <param name="Device">"major:minor" of the file.</param>
/// <param name="Inode">0 for anonymous memory.</param>
/// <param name="Path">As the kernel prints it; may be empty.</param>
/// <param name="Writable">Readable and writable, and no code (QEMU's translated code lies in writable memory, too).</param>
internal readonly record struct ProcessMapping(ulong Start, ulong End, bool Shared, ulong Offset, string Device, ulong Inode, string Path, bool Writable = true);

/// <summary>The mappings of a process, in ascending order.</summary>
internal static class ProcessMap
{
    /// <summary>More lines than any QEMU has; a process with more is not read further.</summary>
    private const int MostLines = 1 << 20;

    public static List<ProcessMapping> Read(int pid)
    {
        var mappings = new List<ProcessMapping>();
        foreach (var line in File.ReadLines($"/proc/{pid}/maps"))
        {
            if (TryParse(line, out var mapping))
                mappings.Add(mapping);
            if (mappings.Count >= MostLines)
                break;
        }
        return mappings;
    }

    public static bool TryParse(string line, out ProcessMapping mapping)
    {
        mapping = default;
        var parts = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length < 5)
            return false;
        var dash = parts[0].IndexOf('-', StringComparison.Ordinal);
        if (dash < 0
            || !ulong.TryParse(parts[0].AsSpan(0, dash), NumberStyles.HexNumber, null, out var start)
            || !ulong.TryParse(parts[0].AsSpan(dash + 1), NumberStyles.HexNumber, null, out var end)
            || !ulong.TryParse(parts[2], NumberStyles.HexNumber, null, out var offset)
            || !ulong.TryParse(parts[4], NumberStyles.None, null, out var inode))
        {
            return false;
        }
        mapping = new ProcessMapping(start, end, parts[1].Length > 3 && parts[1][3] == 's', offset, parts[3], inode, parts.Length > 5 ? parts[5].Trim() : "",
            parts[1].StartsWith("rw-", StringComparison.Ordinal));
        return true;
    }

    /// <summary>The mapping that holds an address, or null.</summary>
    public static ProcessMapping? Find(IReadOnlyList<ProcessMapping> mappings, ulong address)
    {
        int low = 0, high = mappings.Count - 1;
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (address < mappings[middle].Start)
                high = middle - 1;
            else if (address >= mappings[middle].End)
                low = middle + 1;
            else
                return mappings[middle];
        }
        return null;
    }

    /// <summary>True when every byte of a range is mapped, by one mapping or several that touch.</summary>
    public static bool Covers(IReadOnlyList<ProcessMapping> mappings, ulong start, ulong length)
    {
        var end = unchecked(start + length);
        if (end < start)
            return false;
        for (var at = start; at < end;)
        {
            if (Find(mappings, at) is not { } mapping)
                return false;
            at = mapping.End;
        }
        return true;
    }
}
