using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Bitmap or ranges of a dump that does not hold every page, against the file's size and its own counts.</summary>
internal static class PageTableCheck
{
    /// <summary>A fragmented kernel dump has hundreds of thousands of pieces: nobody reads them.</summary>
    private const int PiecesNamed = 256;

    public static IReadOnlyList<CheckedRun> Run(CrashDumpImage image, CheckFindings findings)
    {
        var table = CrashDumpPageTable.Read(image, ImageLimits.Default);
        foreach (var problem in table.Problems)
        {
            var code = problem.Fault switch
            {
                CrashDumpRunFault.Sum => CheckCode.RunSum,
                CrashDumpRunFault.BeyondFile => CheckCode.Truncated,
                _ => CheckCode.Runs,
            };
            findings.Error(code, problem.Text);
        }
        if ((image.Attributes & CrashDumpAttributes.InsufficientDumpfileSize) != 0)
            findings.Warning(CheckCode.Truncated, "Attributes says that the dump file was too small for the dump: pages are missing");
        var required = image.Is64Bit ? image.Header64.RequiredDumpSpace : image.Header32.RequiredDumpSpace;
        if (table.Pages != 0 && required is not (0 or CrashDumpHeader64.LongFiller) && required != table.ExpectedFileSize)
            findings.Note(CheckCode.HeaderValue, $"RequiredDumpSpace says {required} bytes, the dump's tables and pages make {table.ExpectedFileSize}");
        if (table.Pages != 0 && image.FileLength > table.ExpectedFileSize)
            findings.Note(CheckCode.TrailingBytes, $"0x{image.FileLength - table.ExpectedFileSize:x} bytes follow the last page");

        var pieces = table.Stored.Take(PiecesNamed + 1).ToList();
        if (pieces.Count > PiecesNamed)
            findings.Note(CheckCode.Runs, $"the pages are in {table.Stored.Count()} pieces, of which the first {PiecesNamed} are named");
        return [.. pieces.Take(PiecesNamed).Select(piece => new CheckedRun(piece.Start, piece.Length, piece.FileOffset, InFile(piece, image.FileLength)))];
    }

    private static ulong InFile(FileExtent piece, ulong fileLength) =>
        fileLength <= piece.FileOffset ? 0 : Math.Min(piece.Length, (fileLength - piece.FileOffset) & ~Page.OffsetMask);
}
