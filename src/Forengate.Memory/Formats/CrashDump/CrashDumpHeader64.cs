using System.Buffers.Binary;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Memory;

/// <summary>
/// Reads the header of a 64-bit crash dump in place. Nothing is judged here: values are the file's own, and may be <see cref="Filler"/>.
/// </summary>
public readonly ref struct CrashDumpHeader64
{
    /// <summary>A 32-bit field in which Windows' filler, the letters <c>PAGE</c>, was never overwritten.</summary>
    public const uint Filler = L.SignatureValue;

    /// <summary>The same for a 64-bit field.</summary>
    public const ulong LongFiller = (ulong)Filler << 32 | Filler;

    private readonly ReadOnlySpan<byte> _bytes;

    /// <param name="bytes">At least <see cref="CrashDumpLayout64.HeaderSize"/> bytes.</param>
    public CrashDumpHeader64(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes.Length, L.HeaderSize);
        _bytes = bytes[..L.HeaderSize];
    }

    /// <summary>True when a file that begins so is a 64-bit crash dump. Eight bytes are enough.</summary>
    public static bool IsMatch(ReadOnlySpan<byte> start) =>
        start.Length >= 8 && BinaryPrimitives.ReadUInt32LittleEndian(start) == L.SignatureValue &&
        BinaryPrimitives.ReadUInt32LittleEndian(start[L.ValidDump..]) == L.ValidDumpValue;

    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>0xF for a free build, 0xC for a checked one.</summary>
    public uint MajorVersion => Dword(L.MajorVersion);

    /// <summary>Build number.</summary>
    public uint MinorVersion => Dword(L.MinorVersion);

    public ulong DirectoryTableBase => Qword(L.DirectoryTableBase);

    /// <summary>Virtual address of the PFN database itself (not of the variable).</summary>
    public ulong PfnDataBase => Qword(L.PfnDataBase);
    public ulong PsLoadedModuleList => Qword(L.PsLoadedModuleList);
    public ulong PsActiveProcessHead => Qword(L.PsActiveProcessHead);

    /// <summary>IMAGE_FILE_MACHINE: 0x8664 AMD64, 0xAA64 ARM64.</summary>
    public uint MachineImageType => Dword(L.MachineImageType);
    public uint NumberProcessors => Dword(L.NumberProcessors);
    public uint BugCheckCode => Dword(L.BugCheckCode);
    public ulong BugCheckParameter1 => Qword(L.BugCheckParameter1);
    public ulong BugCheckParameter2 => Qword(L.BugCheckParameter2);
    public ulong BugCheckParameter3 => Qword(L.BugCheckParameter3);
    public ulong BugCheckParameter4 => Qword(L.BugCheckParameter4);
    public ReadOnlySpan<byte> VersionUser => _bytes.Slice(L.VersionUser, L.VersionUserSize);
    public ulong KdDebuggerDataBlock => Qword(L.KdDebuggerDataBlock);

    /// <summary>As the file says; more than <see cref="CrashDumpLayout64.MaxRuns"/> do not fit, whatever it says.</summary>
    public uint NumberOfRuns => Dword(L.NumberOfRuns);
    public ulong NumberOfPages => Qword(L.NumberOfPages);

    /// <summary>One run as listed, wild or not.</summary>
    /// <param name="index">0 to <see cref="CrashDumpLayout64.MaxRuns"/> - 1.</param>
    public CrashDumpRun Run(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, L.MaxRuns);
        var at = L.FirstRun + (index * L.RunSize);
        return new CrashDumpRun(Qword(at), Qword(at + 8));
    }

    public ReadOnlySpan<byte> ContextRecord => _bytes.Slice(L.ContextRecord, L.ContextRecordSize);
    public uint ExceptionCode => Dword(L.ExceptionCode);
    public uint ExceptionFlags => Dword(L.ExceptionFlags);
    public ulong ExceptionAddress => Qword(L.ExceptionAddress);
    public uint ExceptionNumberParameters => Dword(L.ExceptionNumberParameters);
    public CrashDumpType DumpType => (CrashDumpType)Dword(L.DumpType);

    /// <summary>Bytes of the whole file, as its writer meant it.</summary>
    public ulong RequiredDumpSpace => Qword(L.RequiredDumpSpace);

    /// <summary>100 ns since 1601, UTC.</summary>
    public ulong SystemTime => Qword(L.SystemTime);

    /// <summary>Text up to the first zero; empty where it is filler.</summary>
    public string Comment => CrashDumpText.Read(_bytes.Slice(L.Comment, L.CommentSize));

    /// <summary>Since boot, in 100 ns.</summary>
    public ulong SystemUpTime => Qword(L.SystemUpTime);
    public uint MiniDumpFields => Dword(L.MiniDumpFields);
    public uint SecondaryDataState => Dword(L.SecondaryDataState);

    /// <summary>1 workstation, 2 domain controller, 3 server.</summary>
    public uint ProductType => Dword(L.ProductType);
    public uint SuiteMask => Dword(L.SuiteMask);
    public uint WriterStatus => Dword(L.WriterStatus);
    public byte KdSecondaryVersion => _bytes[L.KdSecondaryVersion];

    /// <summary>Levels of page tables as a debugger takes them from the header: 4 where it says nothing.</summary>
    public int PagingLevels => MinorVersion >= L.PagingLevelsSince && _bytes[L.PagingLevels] is > 0 and < 16 and var levels ? levels : 4;
    public CrashDumpAttributes Attributes => (CrashDumpAttributes)Dword(L.Attributes);
    public uint BootId => Dword(L.BootId);

    private uint Dword(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[offset..]);

    private ulong Qword(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[offset..]);
}
