namespace Forengate.Memory;

/// <summary>
/// Where a migration stream's RAM blocks lie in guest-physical memory. The stream does not say it: it follows from the machine type and the sizes, and from what else is known. Each
/// block says how its place was found.
/// </summary>
internal sealed class RamPlacement
{
    private readonly MigrationStream _stream;
    private readonly MigrationSource _source;
    private readonly List<MigrationMemory.Segment> _segments = [];
    private readonly Dictionary<MigrationBlock, string> _how = [];

    public RamPlacement(MigrationStream stream, MigrationSource source)
    {
        _stream = stream;
        _source = source;
    }

    /// <summary>Parts of blocks at their places: sorted, disjoint.</summary>
    public IReadOnlyList<MigrationMemory.Segment> Segments => _segments;

    /// <summary>Places all blocks that can be placed.</summary>
    /// <param name="lowSize">RAM below 4 GiB as the user says; null: by rule.</param>
    public void Place(ulong? lowSize)
    {
        var main = new List<MigrationBlock>();
        var devices = new List<MigrationBlock>();
        foreach (var block in _stream.Blocks)
        {
            switch (BlockNames.RoleOf(block.Name))
            {
                case BlockRole.Main:
                    main.Add(block);
                    break;
                case BlockRole.Device:
                    _how[block] = "firmware, tables or video memory: no RAM";
                    break;
                default:
                    devices.Add(block);
                    break;
            }
        }
        if (main.Count == 0 && devices.Count != 0)
        {
            main.Add(devices[0]);
            devices.RemoveAt(0);
        }
        main.Sort((left, right) => (BlockNames.NodeOf(left.Name) ?? 0).CompareTo(BlockNames.NodeOf(right.Name) ?? 0));
        var ram = main.Aggregate(0UL, (sum, block) => sum + block.Length);
        var rule = "the user's word for RAM below 4 GiB";
        var low = lowSize is { } asked ? Math.Min(asked, ram) : RamSplit.Low(_stream.Machine, ram, out rule);
        var at = 0UL;
        foreach (var block in main)
        {
            _how[block] = rule;
            for (var offset = 0UL; offset < block.Length;)
            {
                var start = at < low ? at : RamSplit.FourGiB + (at - low);
                var length = Math.Min(block.Length - offset, at < low ? low - at : ulong.MaxValue);
                Add(block, offset, start, length);
                offset += length;
                at += length;
            }
        }
        foreach (var block in devices)
        {
            if (_source.Places.FirstOrDefault(place => block.Name.EndsWith(place.Block, StringComparison.Ordinal)) is { Block: not null } known)
            {
                Add(block, 0, known.Address.Value, block.Length);
                _how[block] = known.Source;
            }
            else
                _how[block] = "a memory device whose address the stream does not tell";
        }
        _segments.Sort((left, right) => left.Range.Start.CompareTo(right.Range.Start));
    }

    /// <summary>Every block of the stream with its place.</summary>
    public IReadOnlyList<RamBlock> Blocks() =>
    [
        .. _stream.Blocks.Select(block => new RamBlock(
            block.Name, block.Length, [.. _segments.Where(segment => segment.Block == block).Select(segment => segment.Range)], _how.GetValueOrDefault(block, "its place is not known"))),
    ];

    private void Add(MigrationBlock block, ulong offset, ulong start, ulong length)
    {
        if (length != 0)
            _segments.Add(new MigrationMemory.Segment(new PhysicalRange(new PhysicalAddress(start), length), block, offset));
    }
}
