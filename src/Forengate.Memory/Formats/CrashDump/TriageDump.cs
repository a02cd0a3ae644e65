using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// A small dump of 64- or 32-bit Windows, open: the structures that Windows picked for it, and pieces of virtual memory by address. Everything it gives lies in the file; what the file says
/// and does not hold is told in <see cref="Problems"/>. Virtual addresses of 32-bit Windows are zero-extended.
/// </summary>
public sealed class TriageDump : IDisposable
{
    /// <summary>Size of the largest structure taken as one piece: a KPRCB has some 50 KiB.</summary>
    private const int MaxStructure = 1 << 20;

    private readonly CrashDumpImage _image;
    private readonly List<TriageProblem> _problems = [];
    private readonly TriageBlock[] _blocks;

    private TriageDump(CrashDumpImage image, ImageLimits limits)
    {
        _image = image;
        Header = TriageHeader.Of(image);
        var file = image.Bytes(0, int.MaxValue);
        if (file.Length < Layout.Start + Layout.Size)
        {
            _problems.Add(new(TriageFault.Cut, $"the file ends before its small dump's directory ({file.Length} bytes)"));
            _blocks = [];
            return;
        }
        var triage = new TriageDirectory(file, Layout);
        if (triage.SizeOfDump > file.Length)
            _problems.Add(new(TriageFault.Cut, $"the small dump has {triage.SizeOfDump} bytes, the file only {file.Length}: it was cut off"));
        else if (Dword(file, triage.ValidOffset) != TriageDirectory.ValidMark)
            _problems.Add(new(TriageFault.Unfinished, $"the end mark TRGD at 0x{triage.ValidOffset:x} is missing: the dump was not written to its end"));
        Drivers = ReadDrivers(triage, limits);
        UnloadedDrivers = ReadUnloaded(file, triage, limits);
        Kdbg = Place(file, triage.DebuggerDataOffset, triage.DebuggerDataSize);
        CallStack = Place(file, triage.CallStackOffset, triage.SizeOfCallStack);
        TopOfStack = triage.TopOfStack;
        // These have no size of their own: each ends where the next begins, in the order in which Windows writes them.
        (Prcb, Process, Thread) = (Until(file, triage, triage.PrcbOffset), Until(file, triage, triage.ProcessOffset), Until(file, triage, triage.ThreadOffset));
        _blocks = ReadBlocks(file, triage, limits);
    }

    /// <summary>What the header that every dump has says of the crash.</summary>
    public TriageHeader Header { get; }

    /// <summary>A CONTEXT of the dump's machine, in a buffer that is longer.</summary>
    public ReadOnlySpan<byte> ContextRecord => _image.Is64Bit ? _image.Header64.ContextRecord : _image.Header32.ContextRecord;

    /// <summary>Where the fields lie in dumps of this width.</summary>
    public TriageLayout Layout => _image.Is64Bit ? TriageLayout.Of64 : TriageLayout.Of32;

    public ulong FileLength => _image.FileLength;

    /// <summary>What the file says it holds and does not; empty for a whole dump.</summary>
    public IReadOnlyList<TriageProblem> Problems => _problems;

    /// <summary>In the order of the loader's list: the kernel first.</summary>
    public IReadOnlyList<TriageDriver> Drivers { get; } = [];

    public IReadOnlyList<TriageUnloadedDriver> UnloadedDrivers { get; } = [];

    /// <summary>Pieces of virtual memory, by address; those that the file does not hold are left out.</summary>
    public IReadOnlyList<TriageBlock> Blocks => _blocks;

    /// <summary>The stack pointer's address, where <see cref="CallStack"/> belongs.</summary>
    public VirtualAddress TopOfStack { get; }

    /// <summary>KDBG as Windows decoded it for the dump.</summary>
    public ReadOnlySpan<byte> KdbgBytes => Bytes(Kdbg);

    /// <summary>The KPRCB of the processor that crashed.</summary>
    public ReadOnlySpan<byte> PrcbBytes => Bytes(Prcb);

    /// <summary>The EPROCESS of the process that ran there.</summary>
    public ReadOnlySpan<byte> ProcessBytes => Bytes(Process);

    /// <summary>The ETHREAD that ran there.</summary>
    public ReadOnlySpan<byte> ThreadBytes => Bytes(Thread);

    public ReadOnlySpan<byte> CallStackBytes => Bytes(CallStack);

    private (uint Offset, int Length) Kdbg { get; }

    private (uint Offset, int Length) Prcb { get; }

    private (uint Offset, int Length) Process { get; }

    private (uint Offset, int Length) Thread { get; }

    private (uint Offset, int Length) CallStack { get; }

    /// <summary>True when the file is a small dump, of either width.</summary>
    public static bool IsSmall(string path)
    {
        using var file = MappedFile.Open(path);
        var start = file.Span(0, sizeof(ulong));
        if (CrashDumpHeader64.IsMatch(start) && file.Length >= CrashDumpLayout64.HeaderSize)
            return new CrashDumpHeader64(file.Span(0, CrashDumpLayout64.HeaderSize)).DumpType == CrashDumpType.Triage;
        return CrashDumpHeader32.IsMatch(start) && file.Length >= CrashDumpLayout32.HeaderSize
            && new CrashDumpHeader32(file.Span(0, CrashDumpLayout32.HeaderSize)).DumpType == CrashDumpType.Triage;
    }

    /// <summary>Opens a small dump; a damaged one is read as far as it goes.</summary>
    /// <exception cref="ImageFormatException">The file cannot be opened or is no small dump.</exception>
    public static TriageDump Open(string path, ImageLimits? limits = null)
    {
        var image = CrashDumpImage.Open(path);
        try
        {
            if (image.DumpType != CrashDumpType.Triage)
                throw new ImageFormatException($"'{path}' is a {image.Kind} dump, no small dump");
            return Over(image, limits);
        }
        catch
        {
            image.Dispose();
            throw;
        }
    }

    /// <summary>The same over an image that is open already and a small dump's; disposing it disposes the image.</summary>
    public static TriageDump Over(CrashDumpImage image, ImageLimits? limits = null) => new(image, limits ?? ImageLimits.Default);

    /// <summary>Copies virtual memory as far as blocks of the dump hold it from there on.</summary>
    /// <returns>Bytes copied: 0 to the length of <paramref name="destination"/>.</returns>
    public int Read(VirtualAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var piece = default(ReadOnlySpan<byte>);
            // Blocks may overlap: the one that reaches furthest is taken.
            foreach (var block in _blocks)
            {
                if (block.Start > here)
                    break;
                if (here - block.Start is var inside && inside < block.Length && block.Length - inside > (ulong)piece.Length)
                    piece = _image.Bytes(block.FileOffset + inside, (int)(block.Length - inside));
            }
            if (piece.IsEmpty)
                break;
            var count = Math.Min(piece.Length, destination.Length - done);
            piece[..count].CopyTo(destination[done..]);
            done += count;
        }
        return done;
    }

    /// <summary>Fills all of <paramref name="destination"/> or fails.</summary>
    public bool TryRead(VirtualAddress address, Span<byte> destination) => Read(address, destination) == destination.Length;

    public void Dispose() => _image.Dispose();

    private List<TriageDriver> ReadDrivers(TriageDirectory triage, ImageLimits limits)
    {
        var drivers = new List<TriageDriver>();
        var count = (int)Math.Min(triage.DriverCount, (uint)limits.Blocks);
        for (var i = 0; i < count; i++)
        {
            if (!triage.TryReadDriver(i, out var driver))
            {
                _problems.Add(new(TriageFault.Drivers, $"driver {i + 1} of {triage.DriverCount} or its name lies beyond the file"));
                break;
            }
            drivers.Add(driver);
        }
        if (count < triage.DriverCount)
            _problems.Add(new(TriageFault.Drivers, $"the dump claims {triage.DriverCount} drivers: only {count} were read"));
        return drivers;
    }

    private List<TriageUnloadedDriver> ReadUnloaded(ReadOnlySpan<byte> file, TriageDirectory triage, ImageLimits limits)
    {
        var unloaded = new List<TriageUnloadedDriver>();
        var at = (ulong)triage.UnloadedDriversOffset;
        if (at == 0 || Dword(file, at) is not { } count || count == 0)
            return unloaded;
        at += (uint)Layout.PointerSize;
        var size = Layout.UnloadedDriverSize;
        for (var i = 0u; i < Math.Min(count, (uint)limits.Blocks); i++, at += (uint)size)
        {
            if (at + (uint)size > (ulong)file.Length)
            {
                _problems.Add(new(TriageFault.Drivers, $"unloaded driver {i + 1} of {count} lies beyond the file"));
                break;
            }
            unloaded.Add(triage.Unloaded(file.Slice((int)at, size)));
        }
        return unloaded;
    }

    private TriageBlock[] ReadBlocks(ReadOnlySpan<byte> file, TriageDirectory triage, ImageLimits limits)
    {
        var blocks = new List<TriageBlock>();
        Add(blocks, file, triage.TopOfStack, triage.CallStackOffset, triage.SizeOfCallStack);
        Add(blocks, file, triage.DataPageAddress, triage.DataPageOffset, triage.DataPageSize);
        if (Kdbg.Length != 0 && Header.Kdbg is { } kdbg)
            Add(blocks, file, kdbg, Kdbg.Offset, (uint)Kdbg.Length);
        var isListed = triage.DataBlocksOffset is not (0 or CrashDumpHeader64.Filler);
        var count = isListed ? Math.Min(triage.DataBlocksCount, (uint)limits.Blocks) : 0;
        var lost = 0u;
        for (var i = 0u; i < count; i++)
        {
            var at = triage.DataBlocksOffset + ((ulong)i * TriageDirectory.DataBlockSize);
            if (at + TriageDirectory.DataBlockSize > (ulong)file.Length)
            {
                lost += count - i;
                break;
            }
            var entry = file.Slice((int)at, TriageDirectory.DataBlockSize);
            if (!Add(blocks, file, BlockAddress(entry), BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[12..])))
                lost++;
        }
        if (isListed && count < triage.DataBlocksCount)
            _problems.Add(new(TriageFault.Blocks, $"the dump claims {triage.DataBlocksCount} data blocks: only {count} were read"));
        if (lost != 0)
            _problems.Add(new(TriageFault.Blocks, $"{lost} of the dump's {triage.DataBlocksCount} data blocks lie beyond the file"));
        return [.. blocks.OrderBy(block => block.Start)];
    }

    /// <summary>A data block's address has 64 bits in both widths, of 32-bit Windows sign-extended ones.</summary>
    private VirtualAddress BlockAddress(ReadOnlySpan<byte> entry) =>
        new(_image.Is64Bit ? BinaryPrimitives.ReadUInt64LittleEndian(entry) : BinaryPrimitives.ReadUInt32LittleEndian(entry));

    private bool Add(List<TriageBlock> blocks, ReadOnlySpan<byte> file, VirtualAddress address, uint offset, uint size)
    {
        if (size == 0 || offset == 0)
            return true;
        var last = _image.Is64Bit ? ulong.MaxValue : uint.MaxValue;
        if (offset > (uint)file.Length || size > (uint)file.Length - offset || last - address.Value < size)
            return false;
        blocks.Add(new TriageBlock(address, size, offset));
        return true;
    }

    private static (uint Offset, int Length) Place(ReadOnlySpan<byte> file, uint offset, uint size) =>
        offset is 0 or CrashDumpHeader64.Filler || offset >= (uint)file.Length ? default : (offset, (int)Math.Min(size, Math.Min((uint)file.Length - offset, MaxStructure)));

    private static (uint Offset, int Length) Until(ReadOnlySpan<byte> file, TriageDirectory triage, uint offset)
    {
        var end = (uint)file.Length;
        foreach (var next in (ReadOnlySpan<uint>)
            [triage.PrcbOffset, triage.ProcessOffset, triage.ThreadOffset, triage.CallStackOffset, triage.DebuggerDataOffset, triage.DriverListOffset, triage.StringPoolOffset, triage.DataBlocksOffset, triage.ValidOffset])
        {
            if (next > offset && next < end)
                end = next;
        }
        return Place(file, offset, end - Math.Min(offset, end));
    }

    private ReadOnlySpan<byte> Bytes((uint Offset, int Length) place) => place.Length == 0 ? default : _image.Bytes(place.Offset, place.Length);

    private static uint? Dword(ReadOnlySpan<byte> file, ulong offset) =>
        offset + sizeof(uint) <= (ulong)file.Length ? BinaryPrimitives.ReadUInt32LittleEndian(file[(int)offset..]) : null;
}

/// <summary>What is wrong with a small dump.</summary>
public enum TriageFault
{
    /// <summary>The file ends before the dump does.</summary>
    Cut,

    /// <summary>Its writer did not come to the end.</summary>
    Unfinished,

    /// <summary>A list of drivers goes beyond the file.</summary>
    Drivers,

    /// <summary>Pieces of memory do.</summary>
    Blocks,
}

/// <summary>One thing that is wrong with a small dump.</summary>
/// <param name="Fault">What kind.</param>
/// <param name="Text">One line for people.</param>
public readonly record struct TriageProblem(TriageFault Fault, string Text);
