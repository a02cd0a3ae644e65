namespace Forengate.Memory;

/// <summary>
/// Where a migration stream's RAM blocks lie in guest-physical memory. The stream does not say it outright: it follows from QEMU's own ACPI tables, which travel in a block, from the
/// machine type and the sizes, and from what the container or the user knows. Each block says how its place was found.
/// </summary>
internal sealed class RamPlacement
{
    private const string NoRam = "firmware, tables or video memory: no RAM";

    private readonly MigrationStream _stream;
    private readonly AcpiTables? _acpi;
    private readonly Dictionary<MigrationBlock, string> _how = [];
    private readonly List<MigrationMemory.Segment> _segments = [];
    private readonly List<MigrationBlock> _virtio = [];
    private readonly List<MigrationBlock> _candidates = [];

    /// <param name="stream">Its blocks, devices and capabilities.</param>
    /// <param name="acpi">QEMU's tables, where the stream has them.</param>
    public RamPlacement(MigrationStream stream, AcpiTables? acpi)
    {
        _stream = stream;
        _acpi = acpi;
        var leavesShared = stream.Capabilities.Contains(MigrationLayout.CapabilityIgnoreShared);
        foreach (var block in stream.Blocks)
        {
            // Memory that others may share stays where it is, and the stream has none of it.
            if (leavesShared && block.PagesSeen == 0)
                block.Unsent = PageState.Excluded;
            var role = BlockNames.RoleOf(block.Name);
            if (role == BlockRole.Device && VirtioMemory.IsOne(stream, block))
            {
                _virtio.Add(block);
                // QEMU sends what is plugged, and nothing else.
                if (stream.RamEnded)
                    block.Unsent = PageState.Ballooned;
            }
            else if (role == BlockRole.Device)
                _how[block] = NoRam;
            else
                _candidates.Add(block);
        }
        Main = MainRam.Find(_candidates, acpi);
        RuleLow = RamSplit.Low(stream.Machine, Main.Size, out var rule);
        Rule = rule;
    }

    public MainRam Main { get; }

    /// <summary>RAM below 4 GiB by the machine type's rule.</summary>
    public ulong RuleLow { get; }

    public string Rule { get; }

    /// <summary>RAM below 4 GiB as QEMU's tables have it; null where they say nothing that can be.</summary>
    public ulong? AcpiLow => (_acpi?.LowMemoryEnd ?? _acpi?.HoleStart) is { } end && (end < Main.Size || end >= RuleLow) ? Math.Min(end, Main.Size) : null;

    /// <summary>Parts of blocks at their places: sorted, disjoint.</summary>
    public IReadOnlyList<MigrationMemory.Segment> Segments => _segments;

    /// <summary>What is worth telling of the placement.</summary>
    public List<string> Remarks { get; } = [];

    /// <summary>Places all blocks that can be placed.</summary>
    /// <param name="low">RAM below 4 GiB.</param>
    /// <param name="how">How it is known.</param>
    /// <param name="places">What the container knows.</param>
    public void Place(ulong low, string how, IReadOnlyList<KnownPlace> places)
    {
        _segments.Clear();
        Remarks.Clear();
        var high = HighStart(out var highHow);
        var at = 0UL;
        foreach (var block in Main.Blocks)
        {
            for (var offset = 0UL; offset < block.Length;)
            {
                var length = Math.Min(block.Length - offset, at < low ? low - at : ulong.MaxValue);
                Add(block, offset, at < low ? at : high + (at - low), length);
                offset += length;
                at += length;
            }
            _how[block] = string.Join("; ", new[] { how, Main.How, at > low ? highHow : null }.Where(part => part is not null));
        }
        PlaceDevices(high + (at > low ? at - low : 0), places);
        _segments.Sort((left, right) => left.Range.Start.CompareTo(right.Range.Start));
        DropOverlaps();
    }

    /// <summary>Places RAM where somebody knows every part of it to lie.</summary>
    /// <param name="parts">All of RAM. What the stream has no block for is missing from memory, and said to be.</param>
    /// <param name="how">How it is known.</param>
    public void Place(IReadOnlyList<RamPart> parts, string how)
    {
        _segments.Clear();
        Remarks.Clear();
        foreach (var part in parts)
        {
            var block = _stream.Blocks.Find(block => block.Name == part.Block) ?? _stream.Blocks.Find(block => IsNamed(block.Name, part.Block));
            if (block is null || part.Offset >= block.Length)
            {
                Remarks.Add($"the stream has no RAM block '{part.Block}', which lies at {part.Range}: that memory is missing");
                continue;
            }
            var length = Math.Min(part.Range.Length, block.Length - part.Offset);
            if (length < part.Range.Length)
                Remarks.Add($"the stream's RAM block '{part.Block}' ends before {part.Range} does: 0x{part.Range.Length - length:x} bytes are missing");
            Add(block, part.Offset, part.Range.Start.Value, length);
            _how[block] = how;
        }
        _segments.Sort((left, right) => left.Range.Start.CompareTo(right.Range.Start));
        DropOverlaps();
    }

    /// <summary>Every block of the stream with its place.</summary>
    public IReadOnlyList<RamBlock> Blocks() =>
    [
        .. _stream.Blocks.Select(block => new RamBlock(
            block.Name, block.Length, [.. _segments.Where(segment => segment.Block == block).Select(segment => segment.Range)], _how.GetValueOrDefault(block, "its place is not known"))),
    ];

    /// <summary>Where RAM above the hole begins: 4 GiB, unless QEMU moved it behind AMD's HyperTransport hole.</summary>
    private ulong HighStart(out string? how)
    {
        how = null;
        foreach (var memory in _acpi?.Memory ?? [])
        {
            if (memory.IsHotplug || memory.Start < RamSplit.FourGiB)
                continue;
            if (memory.Start == RamSplit.AboveHyperTransport)
            {
                how = "high RAM begins at 1 TiB (SRAT)";
                return memory.Start;
            }
            break;
        }
        return RamSplit.FourGiB;
    }

    private void PlaceDevices(ulong endOfRam, IReadOnlyList<KnownPlace> places)
    {
        var region = _acpi?.Memory.Where(memory => memory.IsHotplug).Select(memory => (ulong?)memory.Start).Min();
        var start = region ?? ((endOfRam + RamSplit.GiB - 1) & ~(RamSplit.GiB - 1));
        var unknown = new List<MigrationBlock>();
        foreach (var block in _virtio.Concat(Main.Others))
        {
            if (places.FirstOrDefault(place => IsNamed(block.Name, place.Block)) is { Block: not null } known)
                Put(block, known.Address.Value, known.Source);
            else if (_virtio.Contains(block) && VirtioMemory.AddressOf(_stream, block) is { } address)
                Put(block, address, "the virtio-mem device's own state");
            else if (block.RegionOffset is { } offset && offset <= ulong.MaxValue - start - block.Length)
                Put(block, start + offset, $"its offset in the region of memory devices, which begins at 0x{start:x}");
            else
                unknown.Add(block);
        }
        // QEMU gives each device the first room that is free, in the order in which they come; blocks of one size keep that order in the stream, others are put by the numbers in their names.
        var region0 = region is null ? $"where RAM ends, rounded up to 1 GiB (0x{start:x})" : $"where the SRAT has room for memory devices (0x{start:x})";
        unknown.Sort((left, right) => BlockNames.NumberOf(left.Name).CompareTo(BlockNames.NumberOf(right.Name)));
        foreach (var block in unknown)
        {
            var free = FirstFree(start, block.Length);
            var sure = unknown.Count == 1 || unknown.TrueForAll(other => other.Length == block.Length);
            Put(block, free, $"{(sure ? "the first free room" : "assumed: in the order of the names, the first free room")} {region0}");
            if (!sure)
                Remarks.Add($"the stream does not say where the memory device '{block.Name}' lies: 0x{free:x} was assumed");
        }
    }

    private void Put(MigrationBlock block, ulong address, string how)
    {
        _how[block] = how;
        if (block.Length == 0 || address > (1UL << PhysicalAddress.Bits) - block.Length || (address & Page.OffsetMask) != 0)
            _how[block] = $"{how}: 0x{address:x} is no place for it";
        else
            Add(block, 0, address, block.Length);
    }

    /// <summary>The first address from <paramref name="start"/> on, on 2 MiB as QEMU aligns RAM, where nothing lies yet.</summary>
    private ulong FirstFree(ulong start, ulong length)
    {
        const ulong Alignment = 2 << 20;
        var at = start;
        foreach (var segment in _segments.OrderBy(segment => segment.Range.Start))
        {
            if (segment.Range.Start.Value < at + length && at < segment.Range.End.Value)
                at = (segment.Range.End.Value + Alignment - 1) & ~(Alignment - 1);
        }
        return at;
    }

    private void Add(MigrationBlock block, ulong offset, ulong start, ulong length)
    {
        if (length != 0)
            _segments.Add(new MigrationMemory.Segment(new PhysicalRange(new PhysicalAddress(start), length), block, offset));
    }

    /// <summary>Places that lie over each other are wrong, whoever named them: the lower one keeps its own.</summary>
    private void DropOverlaps()
    {
        for (var i = 1; i < _segments.Count;)
        {
            if (_segments[i].Range.Start >= _segments[i - 1].Range.End)
            {
                i++;
                continue;
            }
            _how[_segments[i].Block] = $"{_how[_segments[i].Block]}: but '{_segments[i - 1].Block.Name}' lies there, so it was left out";
            Remarks.Add($"memory of block '{_segments[i].Block.Name}' would lie over '{_segments[i - 1].Block.Name}' at {_segments[i].Range}: it was left out");
            _segments.RemoveAt(i);
        }
    }

    /// <summary>libvirt names a backend after its device: <c>memdimm0</c> for the alias <c>dimm0</c>.</summary>
    private static bool IsNamed(string block, string name) => name.Length != 0 && (block == name || block.EndsWith("/" + name, StringComparison.Ordinal) || block == "mem" + name
        || block.EndsWith("/mem" + name, StringComparison.Ordinal));
}
