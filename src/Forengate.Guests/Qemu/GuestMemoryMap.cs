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

    /// <summary>Regions that QEMU calls RAM and the guest does not: a new one may be a DIMM.</summary>
    private readonly HashSet<string> _others;

    private GuestMemoryMap(List<RamSection> parts, List<(FlatSection Section, string Name)> ram, List<string> names, HashSet<string> others, IReadOnlyList<VirtioMemDevice> devices, IReadOnlyList<PhysicalRange> plugged)
    {
        (Parts, _ram, _names, _others, Devices, Plugged) = (parts, ram, names, others, devices, plugged);
        Sections = devices.Count == 0 ? parts : VirtioMemDevice.Cut(parts, devices, plugged);
        Ranges = Merge(Sections);
        AllRanges = devices.Count == 0 ? Ranges : Merge(parts);
        foreach (var range in Ranges)
            Size += range.Length;
    }

    /// <summary>What the guest has, ascending and disjoint.</summary>
    public IReadOnlyList<RamSection> Sections { get; }

    /// <summary>Of <see cref="Sections"/>.</summary>
    public IReadOnlyList<PhysicalRange> Ranges { get; }

    /// <summary>Those, and the blocks of virtio-mem devices that are not plugged.</summary>
    public IReadOnlyList<PhysicalRange> AllRanges { get; }

    /// <summary>As QEMU maps its blocks, with all of a virtio-mem device's memory, plugged or not.</summary>
    public IReadOnlyList<RamSection> Parts { get; }

    public IReadOnlyList<VirtioMemDevice> Devices { get; }

    /// <summary>What of those devices' memory is plugged: ascending, merged where it touches. By QEMU's word from <see cref="Settle"/>, else what the host has pages for.</summary>
    public IReadOnlyList<PhysicalRange> Plugged { get; }

    /// <summary>Bytes of RAM that the guest has.</summary>
    public ulong Size { get; }

    /// <summary>True when QEMU still shows the same RAM at the same addresses, and nothing that could be RAM beside it: asked once more when the guest stands still.</summary>
    public bool StillHolds(IGuestMonitor monitor, CancellationToken ct)
    {
        var flat = FlatView.Parse(monitor.TryHuman("info mtree -f", ct));
        return RamOf(flat, _names).SequenceEqual(_ram) && OthersOf(flat, _names).IsSubsetOf(_others) && (Devices.Count == 0 || VirtioMemDevice.All(monitor, ct).SequenceEqual(Devices));
    }

    /// <summary>Asks QEMU which blocks of virtio-mem devices are plugged, which it tells of a guest that stands still only.</summary>
    /// <returns>This map where it has them right, or a new one.</returns>
    public GuestMemoryMap Settle(IGuestMonitor monitor, List<string> remarks, CancellationToken ct)
    {
        if (Devices.Count == 0 || PluggedBlocks.Ask(monitor, Devices, remarks, ct) is not { } plugged || plugged.SequenceEqual(Plugged))
            return this;
        return new GuestMemoryMap([.. Parts], _ram, _names, _others, Devices, plugged);
    }

    /// <summary>True for memory of a virtio-mem device that is not plugged: no RAM to the guest.</summary>
    public bool IsUnplugged(PhysicalAddress address) =>
        Devices.Count != 0 && Covers(AllRanges, address) && !Covers(Ranges, address);

    private static bool Covers(IReadOnlyList<PhysicalRange> ranges, PhysicalAddress address)
    {
        int low = 0, high = ranges.Count - 1;
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (ranges[middle].Contains(address))
                return true;
            if (address < ranges[middle].Start)
                high = middle - 1;
            else
                low = middle + 1;
        }
        return false;
    }

    /// <param name="monitor">Of the guest.</param>
    /// <param name="process">QEMU.</param>
    /// <param name="remarks">Gets what is worth telling.</param>
    /// <param name="ct">Ends the asking.</param>
    /// <param name="plugged">What was plugged of virtio-mem devices when QEMU was last asked, a moment ago; null: what the host has pages for.</param>
    /// <exception cref="GuestException">QEMU's answers are missing, contradict each other, or do not fit the process.</exception>
    public static GuestMemoryMap Resolve(IGuestMonitor monitor, QemuProcess process, List<string> remarks, CancellationToken ct, IReadOnlyList<PhysicalRange>? plugged = null)
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
        var devices = VirtioMemDevice.All(monitor, ct);
        CompareWithSize(monitor, sections, devices, remarks, ct);
        if (devices.Count != 0 && plugged is null)
            plugged = PluggedBlocks.Touched(new GuestMemoryMap(sections, ram, names, [], [], []), process, devices);
        return new GuestMemoryMap(sections, ram, names, OthersOf(flat, names), devices, plugged ?? []);
    }

    /// <summary>A map that was found without QEMU's word.</summary>
    /// <param name="placed">Ascending and disjoint.</param>
    public static GuestMemoryMap Of(IEnumerable<PlacedRam> placed) =>
        new([.. placed.Select(part => new RamSection(part.Range.Start, part.Range.Length, part.HostAddress, part.Block))], [], [], [], [], []);

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

    private static HashSet<string> OthersOf(IEnumerable<FlatSection> flat, List<string> names) =>
        [.. flat.Where(section => section.Kind == "ram" && !names.Exists(section.IsOf)).Select(section => section.Region)];

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
        return new RamSection(new PhysicalAddress(section.Start), section.Length, start, name) { Offset = section.Offset };
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

    private static List<PhysicalRange> Merge(IEnumerable<RamSection> sections)
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
    private static void CompareWithSize(IGuestMonitor monitor, List<RamSection> parts, List<VirtioMemDevice> devices, List<string> remarks, CancellationToken ct)
    {
        const ulong Tolerance = 1 << 20;
        if (monitor.TryQmp("query-memory-size-summary", null, ct) is not { } summary || summary.Integer("base-memory") is not (> 0 and var given))
            return;
        var total = (ulong)given + (ulong)Math.Max(0, summary.Integer("plugged-memory") ?? 0);
        var size = parts.Aggregate(0UL, (sum, part) => sum + part.Length) - devices.Aggregate(0UL, (sum, device) => sum + device.Unplugged);
        if (size > total + Tolerance || size + Tolerance < total)
            remarks.Add($"QEMU's memory map shows {size >> 20} MiB of RAM, its memory summary {total >> 20} MiB");
    }
}
