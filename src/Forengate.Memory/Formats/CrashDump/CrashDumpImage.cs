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

    /// <summary>The runs of a complete dump laid over its file.</summary>
    public CrashDumpRunTable Runs => Is64Bit ? CrashDumpRunTable.Read(Header64, FileLength) : CrashDumpRunTable.Read(Header32, FileLength);

    /// <summary>Bytes of the file as they lie there; fewer than asked for at its end.</summary>
    public ReadOnlySpan<byte> Bytes(ulong offset, int maxLength) => offset > long.MaxValue ? default : _file.Span((long)offset, maxLength);

    public void Dispose() => _file.Dispose();
}
