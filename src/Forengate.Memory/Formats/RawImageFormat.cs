namespace Forengate.Memory;

/// <summary>
/// Guest-physical memory as bytes and nothing else: <c>pmemsave</c>, a memory backend file, a hypervisor's <c>.vmem</c>. It says nothing about itself, so it is taken only where
/// it is asked for, by name or file extension, or where nothing speaks against it.
/// </summary>
public sealed class RawImageFormat : IImageFormat
{
    public const string FormatName = "raw";

    /// <summary>The least size taken for memory without being asked: no PC runs with less.</summary>
    private const long LeastGuess = 1 << 20;

    private static readonly string[] Extensions = [".raw", ".mem", ".bin", ".img", ".vmem"];

    public string Name => FormatName;

    /// <summary>Never: a raw image has nothing to know it by.</summary>
    public bool Recognizes(ReadOnlySpan<byte> head, long length) => false;

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        if (file.Length < Page.Size)
            throw new ImageFormatException($"'{file.Path}' has only {file.Length} bytes, less than one page of memory");
        var layout = LayoutOf(file.Length, options);
        var memory = new FileMemory(file, layout.Parts.Select(part => FileExtent.Stored(part.Range.Start, part.Range.Length, part.FileOffset)));
        var (remarks, damage) = (new List<string>(), new List<string>());
        if (file.Length % Page.Size is not 0 and var odd)
            remarks.Add($"the last {odd} bytes of the file are no whole page and were left out");
        if (memory.MissingBytes != 0)
            damage.Add($"the file ends before its memory: 0x{memory.MissingBytes:x} of 0x{memory.Size:x} bytes are missing");
        if (options.RawLayout is null && options.RawLowSize is null)
            remarks.Add("a raw image does not say where its bytes belong: file offset was taken for guest-physical address (--ranges says otherwise)");
        return new View(
            memory, [], new Consistency(ConsistencyLevel.Unknown, "a raw image does not say how it was taken"),
            new ViewOrigin { Target = file.Path, Format = "raw image", Packing = "none", FileBytes = (ulong)file.Length, Remarks = remarks, Damage = damage });
    }

    private static RawLayout LayoutOf(long length, ImageOpenOptions options)
    {
        try
        {
            return options.RawLayout ?? (options.RawLowSize is { } low ? RawLayout.WithHole(length, low) : RawLayout.Flat(length));
        }
        catch (FormatException e)
        {
            throw new ImageFormatException(e.Message, e);
        }
    }

    /// <summary>Why a file that no format knows is not taken for raw memory either; null when it is taken.</summary>
    internal static string? WhyNot(string path, ReadOnlySpan<byte> head, long length)
    {
        if (ForeignFile.Describe(head) is { } foreign)
            return foreign;
        if (ForeignFile.IsText(head))
            return "it is a text file";
        if (Extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase))
            return length < Page.Size ? $"it has only {length} bytes, less than one page of memory" : null;
        if (length < LeastGuess)
            return $"its {length} bytes carry no known signature and are too few for a machine's memory; if it is raw memory say --format raw";
        return length % Page.Size != 0
            ? "it carries no known signature and its size is no multiple of 4096; if it is raw memory say --format raw"
            : null;
    }
}
