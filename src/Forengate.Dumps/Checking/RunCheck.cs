using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>The runs of a complete dump against the file's size and NumberOfPages.</summary>
internal static class RunCheck
{
    /// <summary>Dump files of Windows may end in secondary data: DUMP_BLOB_FILE_HEADER's two marks, <c>DumpBlob</c> (<c>wdbgexts.h</c>).</summary>
    private static ReadOnlySpan<byte> SecondaryMark => "DumpBlob"u8;

    public static IReadOnlyList<CheckedRun> Run(CrashDumpImage image, CheckFindings findings)
    {
        var table = image.Runs;
        Run(table, image.Is64Bit ? image.Header64.RequiredDumpSpace : image.Header32.RequiredDumpSpace, image.FileLength, findings);
        if (image.FileLength > table.ExpectedFileSize)
        {
            var extra = image.FileLength - table.ExpectedFileSize;
            if (image.Bytes(table.ExpectedFileSize, SecondaryMark.Length).SequenceEqual(SecondaryMark))
                findings.Note(CheckCode.TrailingBytes, $"secondary data of 0x{extra:x} bytes follows the last page");
            else
                findings.Warning(CheckCode.TrailingBytes, $"the file is 0x{extra:x} bytes longer than header and runs: a run is missing in the header, or its pages lie elsewhere than a debugger looks");
        }
        return Describe(table);
    }

    public static void Run(CrashDumpRunTable table, ulong requiredSpace, ulong fileLength, CheckFindings findings)
    {
        foreach (var problem in table.Problems)
        {
            var code = problem.Fault switch
            {
                CrashDumpRunFault.Order => CheckCode.RunOrder,
                CrashDumpRunFault.Sum => CheckCode.RunSum,
                CrashDumpRunFault.BeyondFile => CheckCode.Truncated,
                _ => CheckCode.Runs,
            };
            if (problem.Fault == CrashDumpRunFault.Empty)
                findings.Warning(code, problem.Text);
            else
                findings.Error(code, problem.Text);
        }
        if (fileLength < table.ExpectedFileSize)
            findings.Error(CheckCode.Truncated, $"the file has {fileLength} bytes, header and runs need {table.ExpectedFileSize}: it was cut off, or the header lists a run too many");

        // Windows counts the header in, LiveKD does not.
        var pages = table.Pages << Page.Shift;
        if (requiredSpace == CrashDumpHeader64.LongFiller || requiredSpace == 0)
            findings.Note(CheckCode.Filler, "RequiredDumpSpace is not set");
        else if (requiredSpace < pages || requiredSpace > table.ExpectedFileSize)
            findings.Warning(CheckCode.HeaderValue, $"RequiredDumpSpace says {requiredSpace} bytes, header and runs make {table.ExpectedFileSize}");
    }

    public static IReadOnlyList<CheckedRun> Describe(CrashDumpRunTable table) =>
        [.. table.Runs.Where(run => run.Run.IsPossible).Select(run => new CheckedRun(run.Run.Range.Start, run.Run.Range.Length, run.FileOffset, run.PagesInFile << Page.Shift))];
}
