using System.Globalization;

namespace Forengate.Guests;

/// <summary>One line of a flat view: what answers at a stretch of guest-physical addresses.</summary>
/// <param name="Start">First guest-physical address.</param>
/// <param name="Length">In bytes.</param>
/// <param name="Kind">QEMU's word: "ram", "rom", "romd", "ramd", "i/o", with "nv-" before it for persistent memory.</param>
/// <param name="Region">Name of the memory region, followed by whatever QEMU adds (an accelerator's name).</param>
/// <param name="Offset">Offset of <paramref name="Start"/> in the region.</param>
internal readonly record struct FlatSection(ulong Start, ulong Length, string Kind, string Region, ulong Offset)
{
    /// <summary>True when the line is of this region. QEMU writes an accelerator's name behind the region's ("pc.ram KVM").</summary>
    public bool IsOf(string name) => Region.StartsWith(name, StringComparison.Ordinal) && (Region.Length == name.Length || Region[name.Length] == ' ');
}

/// <summary>The flat view of the CPUs' memory, out of HMP's <c>info mtree -f</c> (QEMU, softmmu/memory.c, mtree_print_flatview).</summary>
internal static class FlatView
{
    private const int MostLines = 1 << 20;

    /// <summary>The sections of the address space "memory", ascending and disjoint. Empty when the text has no such address space.</summary>
    public static List<FlatSection> Parse(string text)
    {
        var sections = new List<FlatSection>();
        var wanted = false;
        var lines = 0;
        foreach (var range in text.AsSpan().Split('\n'))
        {
            if (++lines > MostLines)
                break;
            var line = text.AsSpan(range).TrimEnd();
            var body = line.TrimStart();
            if (body.StartsWith("FlatView #", StringComparison.Ordinal))
            {
                if (wanted && sections.Count > 0)
                    break;
                wanted = false;
            }
            else if (body.StartsWith("AS \"memory\"", StringComparison.Ordinal))
            {
                wanted = true;
            }
            else if (wanted && TryParseLine(body, out var section) && (sections.Count == 0 || section.Start >= sections[^1].Start + sections[^1].Length))
            {
                sections.Add(section);
            }
        }
        return sections;
    }

    // "0000000000100000-000000000fffffff (prio 0, ram): pc.ram @0000000000100000 KVM"
    private static bool TryParseLine(ReadOnlySpan<char> line, out FlatSection section)
    {
        section = default;
        var dash = line.IndexOf('-');
        var open = line.IndexOf(" (prio ");
        var close = line.IndexOf("): ");
        if (dash <= 0 || open <= dash || close <= open
            || !ulong.TryParse(line[..dash], NumberStyles.AllowHexSpecifier, null, out var first)
            || !ulong.TryParse(line[(dash + 1)..open], NumberStyles.AllowHexSpecifier, null, out var last)
            || last < first || last - first == ulong.MaxValue)
        {
            return false;
        }
        var kind = line[(open + 1)..close];
        var comma = kind.IndexOf(", ");
        if (comma < 0)
            return false;
        kind = kind[(comma + 2)..];
        var name = line[(close + 3)..];
        var offset = 0UL;
        const int OffsetDigits = 16;
        var at = name.LastIndexOf(" @");
        if (at >= 0 && name.Length >= at + 2 + OffsetDigits
            && ulong.TryParse(name.Slice(at + 2, OffsetDigits), NumberStyles.AllowHexSpecifier, null, out var parsed))
        {
            offset = parsed;
            name = name[..at];
        }
        section = new FlatSection(first, last - first + 1, kind.ToString(), name.ToString(), offset);
        return true;
    }
}
