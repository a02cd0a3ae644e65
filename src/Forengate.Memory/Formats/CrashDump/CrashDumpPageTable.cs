using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// Where the pages of a crash dump lie in its file, for every type that has pages. Made from hostile input: counts are clamped, sums cannot overflow, and what does not fit is told
/// in <see cref="Problems"/>.
/// </summary>
public sealed class CrashDumpPageTable
{
    private CrashDumpPageTable(
        IReadOnlyList<FileExtent> extents, IReadOnlyList<CrashDumpRunProblem> problems, ulong pages, ulong firstPage, ulong expectedFileSize) =>
        (Extents, Problems, Pages, FirstPage, ExpectedFileSize) = (extents, problems, pages, firstPage, expectedFileSize);

    /// <summary>Stored pages and, where the header's runs tell of more memory, what was left out. Ascending but for the runs and ranges of odd files.</summary>
    public IReadOnlyList<FileExtent> Extents { get; }

    public IReadOnlyList<CrashDumpRunProblem> Problems { get; }

    /// <summary>Pages that the file should hold by its own tables.</summary>
    public ulong Pages { get; }

    /// <summary>Where the pages begin in the file, in bytes.</summary>
    public ulong FirstPage { get; }

    /// <summary>Everything up to the last page, in bytes.</summary>
    public ulong ExpectedFileSize { get; }

    /// <summary>Stretches of stored pages that follow each other in memory and in the file.</summary>
    public IEnumerable<FileExtent> Stored => Extents.Where(extent => extent.State == PageState.Present);

    /// <summary>Reads the table of a dump of any type.</summary>
    /// <param name="image">The dump.</param>
    /// <param name="limits">How much of it is believed.</param>
    public static CrashDumpPageTable Read(CrashDumpImage image, ImageLimits limits)
    {
        switch (image.DumpType)
        {
            case CrashDumpType.Full:
                return OfRuns(image.Runs, image.HeaderSize);
            case CrashDumpType.Summary:
                return new BitmapReader(image, limits, image.Is64Bit ? CrashDumpBitmapLayout.SummaryBitmap64 : CrashDumpBitmapLayout.SummaryBitmap32).Read(
                    Dword(image, CrashDumpBitmapLayout.SummaryFirstPage), Dword(image, CrashDumpBitmapLayout.SummaryPages), Dword(image, CrashDumpBitmapLayout.SummaryBitmapBits));
            case CrashDumpType.BitmapFull or CrashDumpType.BitmapKernel or CrashDumpType.Automatic:
                return new BitmapReader(image, limits, CrashDumpBitmapLayout.Bitmap).Read(
                    Qword(image, CrashDumpBitmapLayout.FirstPage), Qword(image, CrashDumpBitmapLayout.Pages), Qword(image, CrashDumpBitmapLayout.BitmapBits));
            case CrashDumpType.KernelMemory or CrashDumpType.KernelAndUserMemory or CrashDumpType.CompleteMemory when image.Is64Bit:
                return OfRanges(image, limits);
            default:
                return new CrashDumpPageTable([], [], 0, image.HeaderSize, image.HeaderSize);
        }
    }

    private static CrashDumpPageTable OfRuns(CrashDumpRunTable runs, ulong headerSize) => new(
        [.. runs.Runs.Where(run => run.Run.IsPossible).Select(run => FileExtent.Stored(run.Run.Range.Start, run.Run.Range.Length, run.FileOffset))],
        runs.Problems, runs.Pages, headerSize, runs.ExpectedFileSize);

    private static CrashDumpPageTable OfRanges(CrashDumpImage image, ImageLimits limits)
    {
        var problems = new List<CrashDumpRunProblem>();
        var head = image.Bytes(image.HeaderSize, CrashDumpRangeLayout.Ranges);
        if (head.Length < CrashDumpRangeLayout.Ranges || BinaryPrimitives.ReadUInt32LittleEndian(head[CrashDumpRangeLayout.Signature..]) != CrashDumpRangeLayout.SignatureValue)
            return Nothing(image, "no RDMP lies behind the header");

        var first = Qword(image, CrashDumpRangeLayout.FirstPage);
        var start = image.HeaderSize + (ulong)CrashDumpRangeLayout.Ranges;
        var room = (Math.Min(Math.Max(first, start), image.FileLength) - start) / CrashDumpRangeLayout.RangeSize;
        var count = Qword(image, CrashDumpRangeLayout.RangeCount);
        if (count > room)
        {
            problems.Add(new(CrashDumpRunFault.TooMany, $"the dump counts {count} ranges of pages, but there is room for {room} before its pages or its end"));
            count = room;
        }
        if (count > (ulong)limits.Extents)
        {
            problems.Add(new(CrashDumpRunFault.TooMany, $"the dump counts {count} ranges of pages: only {limits.Extents} were read"));
            count = (ulong)limits.Extents;
        }

        var extents = new List<FileExtent>((int)Math.Min(count, 1 << 16));
        var (pages, impossible) = (0UL, 0UL);
        for (var i = 0UL; i < count; i++)
        {
            var entry = image.Bytes(start + (i * CrashDumpRangeLayout.RangeSize), CrashDumpRangeLayout.RangeSize);
            var run = new CrashDumpRun(BinaryPrimitives.ReadUInt64LittleEndian(entry), BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]));
            if (!run.IsPossible || pages > CrashDumpRun.FrameLimit)
            {
                impossible++;
                continue;
            }
            extents.Add(FileExtent.Stored(run.Range.Start, run.Range.Length, first + (pages << Page.Shift)));
            pages += run.PageCount;
        }
        if (impossible != 0)
            problems.Add(new(CrashDumpRunFault.Impossible, $"{impossible} of {count} ranges are no possible memory"));
        return Finish(image, extents, problems, pages, Qword(image, CrashDumpRangeLayout.Pages), first);
    }

    private static CrashDumpPageTable Nothing(CrashDumpImage image, string why) =>
        new([], [new(CrashDumpRunFault.NoTable, $"{why}: the dump does not say where its pages lie")], 0, image.HeaderSize, image.HeaderSize);

    private static CrashDumpPageTable Finish(
        CrashDumpImage image, IReadOnlyList<FileExtent> extents, List<CrashDumpRunProblem> problems, ulong pages, ulong listed, ulong first)
    {
        if (pages != listed)
            problems.Add(new(CrashDumpRunFault.Sum, $"the dump's table names 0x{pages:x} pages, its page count says 0x{listed:x}"));
        var inFile = image.FileLength <= first ? 0 : (image.FileLength - first) >> Page.Shift;
        if (inFile < pages)
            problems.Add(new(CrashDumpRunFault.BeyondFile, $"the file ends early: the last 0x{pages - inFile:x} of its 0x{pages:x} pages are missing"));
        // 2^40 pages at most, behind an offset that the file's own tables do not reach: no overflow but by a wild offset, which the length then shows.
        return new CrashDumpPageTable(extents, problems, pages, first, unchecked(first + (pages << Page.Shift)));
    }

    private static uint Dword(CrashDumpImage image, int offset) =>
        image.Bytes(image.HeaderSize + (ulong)offset, sizeof(uint)) is { Length: sizeof(uint) } bytes ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : 0;

    private static ulong Qword(CrashDumpImage image, int offset) =>
        image.Bytes(image.HeaderSize + (ulong)offset, sizeof(ulong)) is { Length: sizeof(ulong) } bytes ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : 0;

    /// <summary>Turns a bitmap into extents: set bits that follow each other are pages that follow each other in the file.</summary>
    private sealed class BitmapReader(CrashDumpImage image, ImageLimits limits, int bitmapOffset)
    {
        private readonly List<CrashDumpRunProblem> _problems = [];
        private readonly List<FileExtent> _extents = [];
        private readonly List<CrashDumpRun> _memory = [];
        private int _memoryAt;
        private ulong _pages;
        private ulong _firstPage;
        private bool _isCut;

        public CrashDumpPageTable Read(ulong firstPage, ulong listed, ulong bits)
        {
            var signature = Dword(image, CrashDumpBitmapLayout.Signature);
            if (signature is not (CrashDumpBitmapLayout.SummarySignature or CrashDumpBitmapLayout.FullSignature) || Dword(image, CrashDumpBitmapLayout.ValidDump) != CrashDumpBitmapLayout.ValidDumpValue)
                return Nothing(image, "neither SDMP nor FDMP lies behind the header");
            _firstPage = firstPage;
            var start = image.HeaderSize + (ulong)bitmapOffset;
            if (firstPage < start || firstPage > long.MaxValue)
                return Nothing(image, $"the first page is said to lie at 0x{firstPage:x}, which cannot be");
            CollectMemory();

            var readable = Math.Min(Math.Min(firstPage, image.FileLength), long.MaxValue);
            var room = readable <= start ? 0 : (readable - start) * 8;
            var believed = Math.Min(bits, limits.AddressSpace >> Page.Shift);
            if (believed < bits)
                _problems.Add(new(CrashDumpRunFault.Impossible, $"the bitmap claims 0x{bits:x} pages of memory: only the first 0x{believed:x} are believed"));
            if (room < believed)
            {
                _problems.Add(new(CrashDumpRunFault.BeyondFile, $"the bitmap of 0x{bits:x} bits is cut off after 0x{room:x}"));
                (believed, _isCut) = (room, true);
            }
            Scan(start, believed);
            LeftOut(ulong.MaxValue, _isCut);
            return Finish(image, _extents, _problems, _pages, listed, firstPage);
        }

        /// <summary>
        /// The header's runs say what memory the machine has. Of a dump that leaves pages out by its nature they are told as such; in a full one they are missing.
        /// </summary>
        private void CollectMemory()
        {
            var runs = image.Runs;
            // A dump of this kind need not fill in the runs; runs with faults say nothing.
            if (runs.Problems.Any(problem => problem.Fault is not CrashDumpRunFault.BeyondFile))
                return;
            foreach (var run in runs.Runs)
            {
                if (run.Run.Range.End.Value <= limits.AddressSpace)
                    _memory.Add(run.Run);
            }
        }

        private void Scan(ulong start, ulong bits)
        {
            const ulong WordBits = 64;
            const int PieceBytes = 1 << 20;
            var (from, inRun) = (0UL, false);
            for (var word = 0UL; word * WordBits < bits;)
            {
                // The last word of a bitmap may lie partly behind its end.
                var bytes = image.Bytes(start + (word * sizeof(ulong)), (int)Math.Min(PieceBytes, ((bits - (word * WordBits)) + 7) / 8));
                if (bytes.IsEmpty)
                    break;
                for (; bytes.Length > 0; word++)
                {
                    var value = bytes.Length >= sizeof(ulong) ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : Partial(bytes);
                    bytes = bytes[Math.Min(sizeof(ulong), bytes.Length)..];
                    if (bits - (word * WordBits) is < WordBits and var left)
                        value &= (1UL << (int)left) - 1;
                    if (inRun ? value == ulong.MaxValue : value == 0)
                        continue;
                    for (var bit = 0; bit < (int)WordBits;)
                    {
                        var next = System.Numerics.BitOperations.TrailingZeroCount((inRun ? ~value : value) & (ulong.MaxValue << bit));
                        if (next == (int)WordBits)
                            break;
                        var frame = (word * WordBits) + (ulong)next;
                        if (!inRun)
                            from = frame;
                        else if (!Add(from, frame - from))
                            return;
                        inRun = !inRun;
                        bit = next;
                    }
                }
            }
            if (inRun)
                Add(from, bits - from);
        }

        private static ulong Partial(ReadOnlySpan<byte> bytes)
        {
            Span<byte> word = stackalloc byte[sizeof(ulong)];
            word.Clear();
            bytes.CopyTo(word);
            return BinaryPrimitives.ReadUInt64LittleEndian(word);
        }

        private bool Add(ulong frame, ulong count)
        {
            if (_extents.Count >= limits.Extents)
            {
                _problems.Add(new(CrashDumpRunFault.TooMany, $"the dump's pages are in more than {limits.Extents} pieces: those from physical address 0x{frame << Page.Shift:x} on were left out"));
                _isCut = true;
                return false;
            }
            LeftOut(frame);
            _extents.Add(FileExtent.Stored(PhysicalAddress.FromFrame(frame), count << Page.Shift, _firstPage + (_pages << Page.Shift)));
            _pages += count;
            return true;
        }

        /// <summary>Adds the memory between the last stored page and this frame that the header's runs tell of.</summary>
        private void LeftOut(ulong before, bool isUnknown = false)
        {
            var state = image.LeavesPagesOut && !isUnknown ? PageState.Excluded : PageState.Missing;
            var from = _extents.Count == 0 ? 0 : (_extents[^1].Start.Value + _extents[^1].Length) >> Page.Shift;
            for (; _memoryAt < _memory.Count; _memoryAt++)
            {
                var run = _memory[_memoryAt];
                var (start, end) = (Math.Max(run.BasePage, from), Math.Min(run.BasePage + run.PageCount, before));
                if (start < end)
                    _extents.Add(FileExtent.Without(PhysicalAddress.FromFrame(start), (end - start) << Page.Shift, state));
                if (run.BasePage + run.PageCount > before)
                    return;
            }
        }
    }
}
