using System.Buffers.Binary;
using L = Forengate.Memory.CrashDumpLayout32;

namespace Forengate.Memory;

/// <summary>Reads the header of a 32-bit crash dump in place. Nothing is judged here: values are the file's own, and may be filler.</summary>
public readonly ref struct CrashDumpHeader32
{
    private readonly ReadOnlySpan<byte> _bytes;

    /// <param name="bytes">At least <see cref="CrashDumpLayout32.HeaderSize"/> bytes.</param>
    public CrashDumpHeader32(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes.Length, L.HeaderSize);
        _bytes = bytes[..L.HeaderSize];
    }

    /// <summary>True when a file that begins so is a 32-bit crash dump. Eight bytes are enough.</summary>
    public static bool IsMatch(ReadOnlySpan<byte> start) =>
        start.Length >= 8 && BinaryPrimitives.ReadUInt32LittleEndian(start) == CrashDumpLayout64.SignatureValue &&
        BinaryPrimitives.ReadUInt32LittleEndian(start[4..]) == L.ValidDumpValue;

    public uint MajorVersion => Dword(L.MajorVersion);
    public uint MinorVersion => Dword(L.MinorVersion);

    /// <summary>With PAE the address of the page directory pointer table, a multiple of 32.</summary>
    public uint DirectoryTableBase => Dword(L.DirectoryTableBase);
    public uint PfnDataBase => Dword(L.PfnDataBase);
    public uint PsLoadedModuleList => Dword(L.PsLoadedModuleList);
    public uint PsActiveProcessHead => Dword(L.PsActiveProcessHead);
    public uint MachineImageType => Dword(L.MachineImageType);
    public uint NumberProcessors => Dword(L.NumberProcessors);
    public uint BugCheckCode => Dword(L.BugCheckCode);

    /// <summary>One parameter of the stop code.</summary>
    /// <param name="number">1 to 4.</param>
    public uint BugCheckParameter(int number)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(number, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(number, 4);
        return Dword(L.BugCheckParameter1 + ((number - 1) * sizeof(uint)));
    }

    public bool PaeEnabled => _bytes[L.PaeEnabled] == 1;
    public byte KdSecondaryVersion => _bytes[L.KdSecondaryVersion];
    public uint KdDebuggerDataBlock => Dword(L.KdDebuggerDataBlock);
    public uint NumberOfRuns => Dword(L.NumberOfRuns);
    public uint NumberOfPages => Dword(L.NumberOfPages);

    /// <summary>One run as listed, wild or not.</summary>
    /// <param name="index">0 to <see cref="CrashDumpLayout32.MaxRuns"/> - 1.</param>
    public CrashDumpRun Run(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, L.MaxRuns);
        var at = L.FirstRun + (index * L.RunSize);
        return new CrashDumpRun(Dword(at), Dword(at + 4));
    }

    public ReadOnlySpan<byte> ContextRecord => _bytes.Slice(L.ContextRecord, L.ContextRecordSize);
    public uint ExceptionCode => Dword(L.Exception);
    public uint ExceptionAddress => Dword(L.ExceptionAddress);
    public string Comment => CrashDumpText.Read(_bytes.Slice(L.Comment, L.CommentSize));
    public CrashDumpAttributes Attributes => (CrashDumpAttributes)Dword(L.Attributes);
    public CrashDumpType DumpType => (CrashDumpType)Dword(L.DumpType);
    public uint ProductType => Dword(L.ProductType);
    public uint SuiteMask => Dword(L.SuiteMask);
    public ulong RequiredDumpSpace => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[L.RequiredDumpSpace..]);

    /// <summary>Since boot, in 100 ns.</summary>
    public ulong SystemUpTime => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[L.SystemUpTime..]);

    /// <summary>100 ns since 1601, UTC.</summary>
    public ulong SystemTime => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[L.SystemTime..]);

    private uint Dword(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[offset..]);
}
