namespace Forengate.Memory;

/// <summary>
/// Guest-physical memory and nothing else: the byte at address A is the byte at offset A. What is no memory, and what the source has no bytes for, is zeros: holes where the output can
/// have any.
/// </summary>
public sealed class RawImageWriter : IImageWriter
{
    public string Name => RawImageFormat.FormatName;

    public IReadOnlyList<string> Extensions => [".raw", ".mem", ".bin", ".img", ".vmem"];

    public ImageWriteResult Write(View view, Stream output, ImageWriteOptions options, IProgress<ImageWriteProgress>? progress, CancellationToken cancellation)
    {
        var memory = view.Memory;
        if (memory.End.Value > ImageLimits.Default.AddressSpace)
            throw new ImageFormatException($"'{view.Origin.Target}' claims memory up to {memory.End}, which a raw image would have to be as large as; write it as elf");
        var parts = new List<OutputPart>();
        var reached = default(PhysicalAddress);
        foreach (var range in memory.Ranges)
        {
            if (range.Start > reached)
                parts.Add(OutputPart.OfZeros(range.Start - reached));
            parts.Add(OutputPart.Of(range));
            reached = range.End;
        }
        var tally = MemoryOutput.Write(memory, parts, output, options, progress, cancellation);
        return new ImageWriteResult(reached.Value, memory.Size >> Page.Shift, tally.ZeroPages, tally.Missing(), Lost(view, tally.Missing()));
    }

    private static List<string> Lost(View view, IReadOnlyList<PhysicalRange> missing)
    {
        var lost = new List<string>();
        if (view.Cpus.Count != 0)
            lost.Add($"the registers of {view.Cpus.Count} CPU(s): a raw image holds none");
        if (view.Memory.Ranges is [_, _, ..] or [{ Start.Value: not 0 }])
            lost.Add($"where memory is and where it is not ({ImageWriteText.Ranges(view.Memory.Ranges)}): what lies between is zeros");
        if (missing.Count != 0)
            lost.Add($"which pages have no bytes: they are zeros, at {ImageWriteText.Ranges(missing)}");
        return lost;
    }
}
