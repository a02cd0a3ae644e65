namespace Forengate.Memory;

/// <summary>An open crash dump file of any type: its header, its runs, its bytes. What its pages hold is <see cref="CrashDumpFormat"/>'s to give.</summary>
public sealed class CrashDumpImage : IDisposable
{
    private readonly MappedFile _file;

    private CrashDumpImage(MappedFile file) => _file = file;

    /// <summary>Opens a dump.</summary>
    /// <exception cref="ImageFormatException">The file cannot be opened, is no crash dump, or ends inside its header.</exception>
    public static CrashDumpImage Open(string path)
    {
        var file = MappedFile.Open(path);
        try
        {
            return Over(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The same over a file that is open already; the image owns it unless this throws.</summary>
    internal static CrashDumpImage Over(MappedFile file)
    {
        var start = file.Span(0, 8);
        var needed = CrashDumpHeader64.IsMatch(start) ? CrashDumpLayout64.HeaderSize : CrashDumpHeader32.IsMatch(start) ? CrashDumpLayout32.HeaderSize : 0;
        if (needed == 0)
            throw new ImageFormatException($"'{file.Path}' is no Windows crash dump: it does not begin with PAGEDU64 or PAGEDUMP");
        if (file.Length < needed)
            throw new ImageFormatException($"'{file.Path}' ends inside its crash dump header ({file.Length} bytes of {needed}): copy it again");
        return new CrashDumpImage(file);
    }

    /// <summary>False for a dump of 32-bit Windows.</summary>
    public bool Is64Bit => CrashDumpHeader64.IsMatch(_file.Span(0, 8));

    /// <summary>In bytes.</summary>
    public ulong FileLength => (ulong)_file.Length;

    /// <summary>The header; only where <see cref="Is64Bit"/>.</summary>
    public CrashDumpHeader64 Header64 => new(_file.Span(0, CrashDumpLayout64.HeaderSize));

    /// <summary>The header; only where not <see cref="Is64Bit"/>.</summary>
    public CrashDumpHeader32 Header32 => new(_file.Span(0, CrashDumpLayout32.HeaderSize));

    /// <summary>Bytes of the header: what follows it depends on the type.</summary>
    public ulong HeaderSize => (ulong)(Is64Bit ? CrashDumpLayout64.HeaderSize : CrashDumpLayout32.HeaderSize);

    /// <summary>What the dump holds; a header that still has the filler there is a complete dump's, as debuggers take it.</summary>
    public CrashDumpType DumpType
    {
        get
        {
            var type = Is64Bit ? Header64.DumpType : Header32.DumpType;
            return (uint)type == CrashDumpHeader64.Filler ? CrashDumpType.Full : type;
        }
    }

    /// <summary>As the header has them; none where they are filler.</summary>
    public CrashDumpAttributes Attributes
    {
        get
        {
            var attributes = Is64Bit ? Header64.Attributes : Header32.Attributes;
            return (uint)attributes == CrashDumpHeader64.Filler ? CrashDumpAttributes.None : attributes;
        }
    }

    /// <summary>True where the kind of dump leaves pages out on purpose: all but complete ones.</summary>
    public bool LeavesPagesOut =>
        DumpType is not (CrashDumpType.Full or CrashDumpType.BitmapFull or CrashDumpType.CompleteMemory) || (DumpType == CrashDumpType.BitmapFull && IsActive);

    /// <summary>Width and type in words: "64-bit complete", "32-bit kernel summary".</summary>
    public string Kind => $"{(Is64Bit ? "64" : "32")}-bit {NameOf(DumpType, IsActive)}";

    /// <summary>The letters PAGE in Attributes have the bit set, and debuggers go by it.</summary>
    private bool IsActive => ((Is64Bit ? Header64.Attributes : Header32.Attributes) & CrashDumpAttributes.FilterDumpFile) != 0;

    /// <summary>The physical memory runs of the header laid over the file as those of a complete dump.</summary>
    public CrashDumpRunTable Runs => Is64Bit ? CrashDumpRunTable.Read(Header64, FileLength) : CrashDumpRunTable.Read(Header32, FileLength);

    /// <summary>Bytes of the file as they lie there; fewer than asked for at its end.</summary>
    public ReadOnlySpan<byte> Bytes(ulong offset, int maxLength) => offset > long.MaxValue ? default : _file.Span((long)offset, maxLength);

    private static string NameOf(CrashDumpType type, bool isActive) => type switch
    {
        CrashDumpType.Full => "complete",
        CrashDumpType.Summary => "kernel summary",
        CrashDumpType.HeaderOnly => "header-only",
        CrashDumpType.Triage => "small",
        CrashDumpType.BitmapFull => isActive ? "active memory" : "full bitmap",
        CrashDumpType.BitmapKernel => "kernel bitmap",
        CrashDumpType.Automatic => "automatic",
        CrashDumpType.KernelMemory => "kernel range",
        CrashDumpType.KernelAndUserMemory => "kernel and user range",
        CrashDumpType.CompleteMemory => "complete range",
        _ => $"type {(uint)type}",
    };

    public void Dispose() => _file.Dispose();
}
