namespace Forengate.Memory;

/// <summary>
/// Windows crash dumps as images. Complete dumps of 64-bit systems give a view of their memory; other types are recognised and refused by name.
/// </summary>
public sealed class CrashDumpFormat : IImageFormat
{
    public const string FormatName = "dmp";

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => CrashDumpHeader64.IsMatch(head) || CrashDumpHeader32.IsMatch(head);

    /// <summary>The view has no CPU records: a dump keeps them in its memory, where they are Windows' to find.</summary>
    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        // Not disposed: the file stays the caller's if this throws, and becomes the view's if not.
        var image = CrashDumpImage.Over(file);
        if (!image.Is64Bit)
            throw new ImageFormatException($"'{file.Path}' is a crash dump of 32-bit Windows: only 64-bit guests can be read");
        var header = image.Header64;
        if (header.DumpType != CrashDumpType.Full)
            throw new ImageFormatException($"'{file.Path}' is a crash dump of type {(uint)header.DumpType} ({header.DumpType}): only complete dumps (type 1) hold memory that can be read yet");
        if ((uint)header.Attributes != CrashDumpHeader64.Filler && (header.Attributes & CrashDumpAttributes.EncryptedDumpData) != 0)
            throw new ImageFormatException($"'{file.Path}' is an encrypted crash dump: decrypt it with the key of its machine first");

        var table = image.Runs;
        var remarks = table.Problems.Select(problem => problem.Text).ToList();
        if (image.FileLength > table.ExpectedFileSize)
            remarks.Add($"0x{image.FileLength - table.ExpectedFileSize:x} bytes follow the last page");
        var comment = header.Comment;
        var extents = table.Runs.Where(run => run.Run.IsPossible).Select(run => FileExtent.Stored(run.Run.Range.Start, run.Run.Range.Length, run.FileOffset));
        return new View(
            new FileMemory(file, extents), [], new Consistency(ConsistencyLevel.Unknown, "a crash dump does not say how its memory was taken"),
            new ViewOrigin
            {
                Target = file.Path,
                Format = "Windows crash dump, 64-bit complete",
                Producer = comment.Length == 0 ? null : comment,
                TakenAt = TimeOf(header.SystemTime),
                Remarks = remarks,
            });
    }

    private static DateTimeOffset? TimeOf(ulong fileTime) =>
        fileTime is 0 or CrashDumpHeader64.LongFiller || fileTime > (ulong)DateTimeOffset.MaxValue.ToFileTime() ? null : DateTimeOffset.FromFileTime((long)fileTime).ToUniversalTime();
}
