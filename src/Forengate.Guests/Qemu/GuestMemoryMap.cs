using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Where guest-physical memory lies in the QEMU process, by QEMU's own word: its flat view says which RAM block answers where, <c>gpa2hva</c> says at which host address,
/// and the kernel's map of the process must agree. Nothing is guessed from sizes.
/// </summary>
internal sealed class GuestMemoryMap
{
    /// <summary>Places inside a section, besides its ends, that must lie where the beginning says.</summary>
    private const int Probes = 3;

    /// <summary>A PC has some ten; a guest with more than this is not one.</summary>
    private const int MostSections = 4096;

    private readonly List<(FlatSection Section, string Name)> _ram;
    private readonly List<string> _names;

    private GuestMemoryMap(List<RamSection> sections, List<(FlatSection Section, string Name)> ram, List<string> names)
    {
        Sections = sections;
        _ram = ram;
        _names = names;
        Ranges = Merge(sections);
        foreach (var range in Ranges)
            Size += range.Length;
    }

    /// <summary>Ascending and disjoint.</summary>
    public IReadOnlyList<RamSection> Sections { get; }

    public IReadOnlyList<PhysicalRange> Ranges { get; }

    /// <summary>Bytes of RAM.</summary>
    public ulong Size { get; }

    /// <summary>True when QEMU still shows the same RAM at the same addresses: asked once more when the guest stands still.</summary>
    public bool StillHolds(IGuestMonitor monitor, CancellationToken ct) =>
        RamOf(FlatView.Parse(monitor.TryHuman("info mtree -f", ct)), _names).SequenceEqual(_ram);

    /// <exception cref="GuestException">QEMU's answers are missing, contradict each other, or do not fit the process.</exception>
    public static GuestMemoryMap Resolve(IGuestMonitor monitor, QemuProcess process, List<string> remarks, CancellationToken ct)
    {
        var names = RamBlocks.Names(monitor, remarks, ct);
        var flat = FlatView.Parse(monitor.TryHuman("info mtree -f", ct));
        if (flat.Count == 0)
            throw new GuestException(GuestFailure.MemoryMap, $"{monitor.Name}: 'info mtree -f' shows no memory; is this QEMU 2.10 or newer, for x86?");
        var mappings = process.ReadMappings();
        var sections = new List<RamSection>();
        var ram = RamOf(flat, names).ToList();
        foreach (var (section, name) in ram)
        {
            if (sections.Count >= MostSections)
                throw new GuestException(GuestFailure.MemoryMap, $"{monitor.Name}: more than {MostSections} stretches of RAM: this is no PC");
            Add(sections, Locate(monitor, section, name, mappings, ct));
        }
        if (sections.Count == 0)
            throw new GuestException(GuestFailure.MemoryMap, $"{monitor.Name}: no RAM block ({string.Join(", ", names.Take(8))}) in QEMU's memory map");
        var map = new GuestMemoryMap(sections, ram, names);
        CompareWithSize(monitor, map, remarks, ct);
        return map;
    }

    /// <summary>A map that was found without QEMU's word.</summary>
    /// <param name="placed">Ascending and disjoint.</param>
    public static GuestMemoryMap Of(IEnumerable<PlacedRam> placed) =>
        new([.. placed.Select(part => new RamSection(part.Range.Start, part.Range.Length, part.HostAddress, part.Block))], [], []);

    /// <summary>The page-aligned RAM among the sections. Where firmware made RAM read-only (shadowed ROM, "rom" of a RAM block) it is RAM still.</summary>
    internal static IEnumerable<(FlatSection Section, string Name)> RamOf(IEnumerable<FlatSection> flat, IReadOnlyList<string> names)
    {
        foreach (var section in flat)
        {
            if (section.Kind is not ("ram" or "rom"))
                continue;
            var name = names.FirstOrDefault(section.IsOf);
            if (name is null)
                continue;
            var start = (section.Start + Page.OffsetMask) & ~Page.OffsetMask;
            var end = (section.Start + section.Length) & ~Page.OffsetMask;
            if (end > start)
                yield return (section with { Start = start, Length = end - start, Offset = section.Offset + (start - section.Start) }, name);
        }
    }

    private static RamSection Locate(IGuestMonitor monitor, FlatSection section, string name, IReadOnlyList<ProcessMapping> mappings, CancellationToken ct)
    {
        var start = HostAddress(monitor, section.Start, name, ct);
        var last = section.Length - Page.Size;
        for (var probe = 1; probe <= Probes + 1; probe++)
        {
            var distance = probe > Probes ? last : (last / (Probes + 1) * (ulong)probe) & ~Page.OffsetMask;
            if (distance != 0 && HostAddress(monitor, section.Start + distance, name, ct) != start + distance)
                throw new GuestException(GuestFailure.MemoryMap, $"{monitor.Name}: RAM at 0x{section.Start:x} is not contiguous in QEMU's process");
        }
        if (start % Page.Size != 0 || !ProcessMap.Covers(mappings, start, section.Length))
        {
            throw new GuestException(
                GuestFailure.MemoryMap,
                $"{monitor.Name}: QEMU says RAM 0x{section.Start:x} lies at 0x{start:x} in its process, which has nothing there; is the monitor another QEMU's?");
        }
        return new RamSection(new PhysicalAddress(section.Start), section.Length, start, name);
    }

    private static ulong HostAddress(IGuestMonitor monitor, ulong address, string name, CancellationToken ct)
    {
        var answer = monitor.TryHuman(string.Create(CultureInfo.InvariantCulture, $"gpa2hva 0x{address:x}"), ct);
        return ParseHostAddress(answer, name)
            ?? throw new GuestException(GuestFailure.MemoryMap, $"{monitor.Name}: gpa2hva 0x{address:x} of {name}: {answer.Trim()}");
    }

    /// <summary>"Host virtual address for 0x1000 (pc.ram) is 0x7f4213e01000"; null for anything else, or for another block.</summary>
    internal static ulong? ParseHostAddress(string answer, string name)
    {
        const string Before = ") is 0x";
        var at = answer.IndexOf(Before, StringComparison.Ordinal);
        var open = answer.IndexOf(" (", StringComparison.Ordinal);
        if (at < 0 || open < 0 || open + 2 > at || !answer.AsSpan(open + 2, at - open - 2).SequenceEqual(name))
            return null;
        return ulong.TryParse(answer.AsSpan(at + Before.Length).Trim(), NumberStyles.AllowHexSpecifier, null, out var address) ? address : null;
    }

    /// <summary>Neighbours that go on in the same block at the next address become one.</summary>
    private static void Add(List<RamSection> sections, RamSection section)
    {
        if (sections.Count > 0 && sections[^1] is var last && last.End == section.Start && last.HostAddress + last.Length == section.HostAddress && last.Block == section.Block)
            sections[^1] = last with { Length = last.Length + section.Length };
        else
            sections.Add(section);
    }

    private static List<PhysicalRange> Merge(List<RamSection> sections)
    {
        var ranges = new List<PhysicalRange>();
        foreach (var section in sections)
        {
            if (ranges.Count > 0 && ranges[^1].End == section.Start)
                ranges[^1] = ranges[^1] with { Length = ranges[^1].Length + section.Length };
            else
                ranges.Add(new PhysicalRange(section.Start, section.Length));
        }
        return ranges;
    }

    /// <summary>The sum must come close to what QEMU says the guest was given; the legacy video hole takes 128 KiB of it.</summary>
    private static void CompareWithSize(IGuestMonitor monitor, GuestMemoryMap map, List<string> remarks, CancellationToken ct)
    {
        const ulong Tolerance = 1 << 20;
        if (monitor.TryQmp("query-memory-size-summary", null, ct) is not { } summary || summary.Integer("base-memory") is not (> 0 and var given))
            return;
        var total = (ulong)given + (ulong)Math.Max(0, summary.Integer("plugged-memory") ?? 0);
        if (map.Size > total + Tolerance || map.Size + Tolerance < total)
            remarks.Add($"QEMU's memory map shows {map.Size >> 20} MiB of RAM, its memory summary {total >> 20} MiB");
    }
}
