namespace Forengate.Memory;

/// <summary>LiME: each stretch of readable memory behind a header with its addresses. What the source has no bytes for is left out.</summary>
public sealed class LimeWriter : IImageWriter
{
    public string Name => "lime";

    public IReadOnlyList<string> Extensions => [".lime"];

    public ImageWriteResult Write(View view, Stream output, ImageWriteOptions options, IProgress<ImageWriteProgress>? progress, CancellationToken cancellation)
    {
        var survey = MemorySurvey.Of(view.Memory, cancellation);
        var parts = new List<OutputPart>();
        foreach (var run in survey.Runs.Where(run => run.IsReadable))
        {
            parts.Add(OutputPart.Of(new LimeHeader(LimeHeader.LimeMagic, LimeHeader.PlainVersion, run.Range.Start.Value, run.Range.End.Value - 1).ToBytes()));
            parts.Add(OutputPart.Of(run.Range));
        }
        if (parts.Count == 0)
            throw new ImageFormatException($"'{view.Origin.Target}' holds no memory that can be read: there is nothing to write");
        var tally = MemoryOutput.Write(view.Memory, parts, output, options, progress, cancellation);
        var failed = tally.Missing();
        var lost = new List<string>();
        if (view.Cpus.Count != 0)
            lost.Add($"the registers of {view.Cpus.Count} CPU(s): LiME holds none");
        if (survey.Ballooned + survey.Excluded != 0)
            lost.Add($"why pages have no bytes: {survey.Ballooned >> Page.Shift} ballooned and {survey.Excluded >> Page.Shift} excluded ones are not in the file, like missing ones");
        if (failed.Count != 0)
            lost.Add($"pages that could not be read when their turn came are zeros, at {ImageWriteText.Ranges(failed)}");
        return new ImageWriteResult(
            parts.Aggregate(0UL, (sum, part) => sum + part.Length), survey.Readable >> Page.Shift, tally.ZeroPages,
            [.. survey.Unreadable.Select(run => run.Range).Concat(failed).OrderBy(range => range.Start).Take(OutputTally.RangesNamed)], lost);
    }
}
