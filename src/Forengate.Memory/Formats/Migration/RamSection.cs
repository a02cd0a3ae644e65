using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>Reads the sections that carry RAM: the list of blocks, then records of pages, of which only the heads are looked at.</summary>
internal sealed class RamSection
{
    /// <summary>Head of a record with a block's name, and what may stand before an XBZRLE delta.</summary>
    private const int RecordPeek = 8 + 1 + 255 + MigrationLayout.CompressedHeaderSize;

    private const ulong RecordsBetweenReports = 1 << 14;

    /// <summary>The first report comes with the first pages, behind the list of blocks: while a small guest's stream, too, is still being written.</summary>
    private const ulong RecordsBeforeReport = 16;

    /// <summary>Changes of one page on top of each other: far beyond any real migration's rounds, so that no page takes long to put together.</summary>
    public const int MostDeltas = 4096;

    private readonly MigrationStream _stream;
    private readonly ImageLimits _limits;
    private readonly IndexBudget _budget;
    private readonly Action<long> _report;
    private readonly Dictionary<string, MigrationBlock> _byName = [];
    private MigrationBlock? _last;
    private ulong _records;

    /// <param name="stream">Gets blocks, deltas, damage.</param>
    /// <param name="limits">Bounds on what is believed.</param>
    /// <param name="budget">Charged for the index.</param>
    /// <param name="report">Told the position now and then; may throw <see cref="OperationCanceledException"/>.</param>
    public RamSection(MigrationStream stream, ImageLimits limits, IndexBudget budget, Action<long> report)
    {
        _stream = stream;
        _limits = limits;
        _budget = budget;
        _report = report;
    }

    /// <summary>Reads the body of one section, from behind its header to its end-of-section record.</summary>
    /// <returns>False when it is cut off or broken: what is wrong is among the stream's damage then.</returns>
    public bool Read(MigrationInput input)
    {
        while (true)
        {
            if (++_records % RecordsBetweenReports == RecordsBeforeReport)
                _report(input.Position);
            var at = input.Position;
            var head = input.Peek(RecordPeek);
            if (head.Length < sizeof(ulong))
                return Broken($"the stream ends within RAM, at 0x{at:x}: was it cut off, or still being written?");
            var word = BinaryPrimitives.ReadUInt64BigEndian(head);
            var offset = word & ~MigrationLayout.FlagsMask;
            var flags = word & MigrationLayout.FlagsMask;
            switch (flags)
            {
                case MigrationLayout.FlagEndOfSection:
                    return input.Skip(sizeof(ulong));
                case MigrationLayout.FlagHook or MigrationLayout.FlagMultifdFlush:
                    input.Skip(sizeof(ulong));
                    continue;
                case MigrationLayout.FlagMemorySize:
                    input.Skip(sizeof(ulong));
                    if (!ReadBlocks(input, offset))
                        return false;
                    continue;
            }

            var size = sizeof(ulong);
            if ((flags & MigrationLayout.FlagContinue) == 0 && !FindBlock(head, ref size))
                return Broken($"the RAM record at 0x{at:x} (0x{word:x}) belongs to no RAM block of this stream: the stream is damaged from there on");
            if (_last is not { } block || offset >= block.Length)
                return Broken($"the RAM record at 0x{at:x} (0x{word:x}) lies outside its RAM block: the stream is damaged from there on");
            input.Skip(size);
            if (!ReadPage(input, block, offset >> MigrationLayout.PageBits, flags & ~MigrationLayout.FlagContinue, head[size..], at))
                return false;
        }
    }

    private bool FindBlock(ReadOnlySpan<byte> head, ref int size)
    {
        if (head.Length <= size || head.Length <= size + head[size])
            return false;
        Span<char> name = stackalloc char[byte.MaxValue];
        var length = Encoding.Latin1.GetChars(head.Slice(size + 1, head[size]), name);
        size += 1 + length;
        return _byName.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name[..length], out _last);
    }

    private bool ReadPage(MigrationInput input, MigrationBlock block, ulong page, ulong kind, ReadOnlySpan<byte> head, long at)
    {
        long offset;
        block.PagesSeen++;
        switch (kind)
        {
            case MigrationLayout.FlagPage:
                if (!input.TryKeep(Page.Size, out offset))
                    return CutOff(at);
                block.Index.Set(page, PageEntry.Stored(offset));
                return true;
            case MigrationLayout.FlagZero:
                if (head.Length == 0 || !input.Skip(1))
                    return CutOff(at);
                block.Index.Set(page, head[0] == 0 ? PageEntry.Zero : new PageEntry(PageEntryKind.Filled, head[0]));
                return true;
            case MigrationLayout.FlagCompressed:
                if (head.Length < MigrationLayout.CompressedHeaderSize)
                    return CutOff(at);
                var packed = BinaryPrimitives.ReadUInt32BigEndian(head);
                if (packed is 0 or > MigrationLayout.MostCompressedSize)
                    return Broken($"the compressed page at 0x{at:x} claims {packed} bytes: the stream is damaged from there on");
                if (!input.TryKeep(MigrationLayout.CompressedHeaderSize + (int)packed, out offset))
                    return CutOff(at);
                block.Index.Set(page, new PageEntry(PageEntryKind.Deflated, offset));
                _stream.DeflatedPages++;
                return true;
            case MigrationLayout.FlagXbzrle:
                return ReadDelta(input, block, page, head, at);
            default:
                return Broken($"the RAM record at 0x{at:x} has flags 0x{kind:x}, which no version of QEMU writes: the stream is damaged from there on");
        }
    }

    private bool ReadDelta(MigrationInput input, MigrationBlock block, ulong page, ReadOnlySpan<byte> head, long at)
    {
        if (head.Length < MigrationLayout.XbzrleHeaderSize)
            return CutOff(at);
        var length = BinaryPrimitives.ReadUInt16BigEndian(head[1..]);
        if (head[0] != MigrationLayout.XbzrleEncoding || length > Page.Size)
            return Broken($"the XBZRLE change at 0x{at:x} claims encoding {head[0]} and {length} bytes: the stream is damaged from there on");
        input.Skip(MigrationLayout.XbzrleHeaderSize);
        var before = block.Index.Latest(page);
        var depth = before.Kind == PageEntryKind.Delta ? _stream.Deltas[(int)before.Value].Depth + 1 : 0;
        if (before.Kind == PageEntryKind.None || depth >= MostDeltas)
            return Broken($"the XBZRLE change at 0x{at:x} changes a page that {(depth == 0 ? "the stream never had" : $"was changed {depth} times before")}: the stream is damaged from there on");
        if (length == 0)
            return true;
        if (!input.TryKeep(length, out var offset))
            return CutOff(at);
        _budget.Take(System.Runtime.CompilerServices.Unsafe.SizeOf<PageDelta>());
        block.Index.Set(page, new PageEntry(PageEntryKind.Delta, _stream.Deltas.Count));
        _stream.Deltas.Add(new PageDelta(offset, length, depth, before));
        return true;
    }

    /// <summary>The list of blocks that RAM begins with. Which optional fields an entry has depends on how QEMU was set up; the sizes must add up.</summary>
    private bool ReadBlocks(MigrationInput input, ulong total)
    {
        if (_stream.HasRam)
            return Broken($"a second list of RAM blocks at 0x{input.Position:x}: the stream is damaged from there on");
        if (total > _limits.AddressSpace)
            throw new ImageFormatException($"the migration stream claims 0x{total:x} bytes of RAM, more than any machine has: it is damaged");
        var ignoreShared = _stream.Capabilities.Contains(MigrationLayout.CapabilityIgnoreShared);
        var mappedRam = _stream.Capabilities.Contains(MigrationLayout.CapabilityMappedRam);
        for (var left = total; left != 0;)
        {
            var at = input.Position;
            if (!input.TryReadName(out var name) || !input.TryReadUInt64(out var length))
                return Broken($"the stream ends within its list of RAM blocks, at 0x{at:x}");
            if (name.Length == 0 || name.Any(char.IsControl) || length > left || (length & MigrationLayout.FlagsMask) != 0 || _byName.ContainsKey(name))
                return Broken($"the RAM block at 0x{at:x} ('{name}', 0x{length:x} bytes) does not fit its list: the stream is damaged from there on");
            if (_stream.Blocks.Count == _limits.Blocks)
                throw new ImageFormatException($"the migration stream has more than {_limits.Blocks} RAM blocks, the bound set for it");
            left -= length;
            // QEMU refuses mapped-ram with postcopy, and the header of mapped-ram begins like such a size.
            var hostPage = !mappedRam && HasHostPageSize(input, ignoreShared, left == 0) && input.TryReadUInt64(out var size) ? size : (ulong?)null;
            var region = ignoreShared && input.TryReadUInt64(out var address) ? address : (ulong?)null;
            MappedRamHeader? mapped = null;
            // A file that ends within the block's pages has the block all the same.
            var goesOn = !mappedRam || ReadMappedRam(input, length, out mapped);
            if (mappedRam && mapped is null)
                return false;
            var block = new MigrationBlock(name, length, new PageIndex(length >> MigrationLayout.PageBits, _budget)) { HostPageSize = hostPage, RegionOffset = region, MappedRam = mapped };
            _stream.Blocks.Add(block);
            _byName.Add(name, block);
            if (!goesOn)
                return false;
        }
        return true;
    }

    /// <summary>
    /// With postcopy enabled, an entry of a block on huge pages tells their size, before the address that ignore-shared adds. The stream does not say so; what follows does: names begin
    /// with a length that is not 0, the list's end is a record.
    /// </summary>
    private static bool HasHostPageSize(MigrationInput input, bool ignoreShared, bool isLast)
    {
        var next = input.Peek(2 * sizeof(ulong));
        if (!BinaryPrimitives.TryReadUInt64BigEndian(next, out var size) || size <= Page.Size || size > 1UL << 40 || !ulong.IsPow2(size))
            return false;
        if (!ignoreShared || next.Length < 2 * sizeof(ulong))
            return !ignoreShared;
        var second = BinaryPrimitives.ReadUInt64BigEndian(next[sizeof(ulong)..]);
        return isLast ? second is not (MigrationLayout.FlagEndOfSection or MigrationLayout.FlagMultifdFlush) : second >> 56 == 0;
    }

    private bool ReadMappedRam(MigrationInput input, ulong length, out MappedRamHeader? header)
    {
        header = null;
        var at = input.Position;
        var bytes = input.Peek(MigrationLayout.MappedRamHeaderSize);
        if (bytes.Length < MigrationLayout.MappedRamHeaderSize)
            return Broken($"the stream ends within its list of RAM blocks, at 0x{at:x}");
        var version = BinaryPrimitives.ReadUInt32BigEndian(bytes);
        var mapped = new MappedRamHeader(
            BinaryPrimitives.ReadUInt64BigEndian(bytes[4..]), BinaryPrimitives.ReadUInt64BigEndian(bytes[12..]), BinaryPrimitives.ReadUInt64BigEndian(bytes[20..]));
        if (version != MigrationLayout.MappedRamVersion || mapped.PageSize != Page.Size)
            throw new ImageFormatException($"the mapped-ram header at 0x{at:x} is of version {version} with pages of {mapped.PageSize} bytes; version 1 with 4,096 is known");
        header = mapped;
        var behind = mapped.PagesOffset + length;
        return (behind >= length && behind <= long.MaxValue && input.TrySeek((long)behind))
            || Broken($"the pages of a RAM block lie at 0x{mapped.PagesOffset:x}, behind the end of the file: it is cut off");
    }

    private bool CutOff(long at) => Broken($"the stream ends within the page at 0x{at:x}: was it cut off, or still being written?");

    private bool Broken(string what)
    {
        _stream.AddDamage(what);
        return false;
    }
}
