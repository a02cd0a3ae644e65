namespace Forengate.Memory;

/// <summary>An open crash dump file: its header, its runs, and the view of its memory. Only 64-bit complete dumps have a view so far; of others the header can be read.</summary>
public sealed class CrashDumpImage : IDisposable
{
    /// <summary>Microsoft's name for the format, with its bits.</summary>
    public const string Format64 = "Windows crash dump, 64-bit";

    private readonly CrashDumpMapping _file;
    private readonly string _path;
    private bool _given;

    private CrashDumpImage(string path, CrashDumpMapping file) => (_path, _file) = (path, file);

    /// <summary>True when a file that begins so is a crash dump of any kind. Eight bytes are enough.</summary>
    public static bool IsMatch(ReadOnlySpan<byte> start) => CrashDumpHeader64.IsMatch(start) || CrashDumpHeader32.IsMatch(start);

    /// <summary>Opens a dump.</summary>
    /// <exception cref="ImageFormatException">The file is no crash dump, or ends inside its header.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static CrashDumpImage Open(string path)
    {
        var file = new CrashDumpMapping(path);
        var start = file.Slice(0, 8);
        var needed = CrashDumpHeader64.IsMatch(start) ? CrashDumpLayout64.HeaderSize : CrashDumpHeader32.IsMatch(start) ? CrashDumpLayout32.HeaderSize : 0;
        if (needed != 0 && file.Length >= (ulong)needed)
            return new CrashDumpImage(path, file);
        var length = file.Length;
        file.Dispose();
        throw new ImageFormatException(needed == 0
            ? $"{path} is no Windows crash dump: it does not begin with PAGEDU64 or PAGEDUMP"
            : $"{path} ends inside its crash dump header ({length} bytes of {needed}): copy it again");
    }

    /// <summary>False for a dump of 32-bit Windows.</summary>
    public bool Is64Bit => CrashDumpHeader64.IsMatch(_file.Slice(0, 8));

    /// <summary>In bytes.</summary>
    public ulong FileLength => _file.Length;

    /// <summary>The header; only where <see cref="Is64Bit"/>.</summary>
    public CrashDumpHeader64 Header64 => new(_file.Slice(0, CrashDumpLayout64.HeaderSize));

    /// <summary>The header; only where not <see cref="Is64Bit"/>.</summary>
    public CrashDumpHeader32 Header32 => new(_file.Slice(0, CrashDumpLayout32.HeaderSize));

    /// <summary>The runs of a complete dump over its file.</summary>
    public CrashDumpRunTable Runs => Is64Bit ? CrashDumpRunTable.Read(Header64, FileLength) : CrashDumpRunTable.Read(Header32, FileLength);

    /// <summary>Bytes of the file as they lie there; fewer than asked for at its end.</summary>
    public ReadOnlySpan<byte> Bytes(ulong offset, int maxLength) => _file.Slice(offset, maxLength);

    /// <summary>The memory of a 64-bit complete dump. The view owns the file from then on; it has no CPU records, those lie in the memory and are Windows' to find.</summary>
    /// <exception cref="ImageFormatException">The dump is of another type.</exception>
    public View OpenView()
    {
        if (!Is64Bit)
            throw new ImageFormatException($"{_path} is a crash dump of 32-bit Windows: only 64-bit guests can be read");
        var header = Header64;
        if (header.DumpType != CrashDumpType.Full)
            throw new ImageFormatException($"{_path} is a crash dump of type {(uint)header.DumpType} ({header.DumpType}): only complete dumps (type 1) hold memory that can be read yet");
        var runs = Runs;
        var remarks = runs.Problems.Select(problem => problem.Text).ToList();
        if (FileLength > runs.ExpectedFileSize)
            remarks.Add($"0x{FileLength - runs.ExpectedFileSize:x} bytes follow the last page");
        var comment = header.Comment;
        _given = true;
        return new View(
            new CrashDumpMemory(_file, runs), [], new Consistency(ConsistencyLevel.Unknown, "a crash dump does not say how its memory was taken"),
            new ViewOrigin { Target = _path, Format = Format64, Producer = comment.Length == 0 ? null : comment, TakenAt = TimeOf(header.SystemTime), Remarks = remarks });
    }

    public void Dispose()
    {
        if (!_given)
            _file.Dispose();
    }

    private static DateTimeOffset? TimeOf(ulong fileTime) =>
        fileTime is 0 or CrashDumpHeader64.LongFiller || fileTime > (ulong)DateTimeOffset.MaxValue.ToFileTime() ? null : DateTimeOffset.FromFileTime((long)fileTime).ToUniversalTime();
}
