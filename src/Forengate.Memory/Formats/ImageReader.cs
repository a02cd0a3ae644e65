namespace Forengate.Memory;

/// <summary>Opens memory images: finds the format by content, reads the file into a view.</summary>
public sealed class ImageReader
{
    private const int HeadSize = 64 * 1024;

    private readonly IImageFormat[] _formats;

    /// <param name="formats">The formats that are known by content; names must differ. A raw image is what is left: it is known by every reader.</param>
    public ImageReader(IEnumerable<IImageFormat> formats)
    {
        _formats = [.. formats];
    }

    /// <summary>Knows every format of this room.</summary>
    public static ImageReader Default { get; } = new(ImageFormats.All);

    /// <summary>Names that <see cref="ImageOpenOptions.Format"/> may carry.</summary>
    public IReadOnlyList<string> Formats => [.. _formats.Select(format => format.Name), RawImageFormat.FormatName];

    /// <summary>Opens an image file with <see cref="Default"/>.</summary>
    /// <inheritdoc cref="OpenImage"/>
    public static View Open(string path, ImageOpenOptions? options = null, CancellationToken cancellation = default) =>
        Default.OpenImage(path, options, cancellation);

    /// <summary>Opens an image file. The view owns it.</summary>
    /// <exception cref="ImageFormatException">One line: no such file, no image that we know, broken beyond reading, …</exception>
    /// <exception cref="OperationCanceledException"/>
    public View OpenImage(string path, ImageOpenOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= ImageOpenOptions.Default;
        var asked = options.Format is { } name ? Named(name) : null;
        var file = MappedFile.Open(path);
        try
        {
            // A .vmem is raw memory in pieces; the state beside it says where they belong, and what the registers hold.
            if (asked is null && options is { RawLayout: null, RawLowSize: null } && VmwareFormat.StateOf(path) is { } state && IsVmwareMemory(file))
            {
                var view = OpenImage(state, options with { Format = VmwareFormat.FormatName }, cancellation);
                file.Dispose();
                return view;
            }
            return OpenFile(file, path, asked, options, cancellation);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Opens what was unpacked out of another file, by content, but for a packing within the packing.</summary>
    /// <param name="file">Owned by the view; the caller's when this throws.</param>
    /// <param name="name">Its name as it would be unpacked: the extension tells raw memory.</param>
    /// <param name="options">What the user says of it.</param>
    /// <param name="cancellation">Ends the opening.</param>
    internal View OpenUnpacked(MappedFile file, string name, ImageOpenOptions options, CancellationToken cancellation) =>
        new ImageReader(_formats.Where(format => format is not PackedFormat)).OpenFile(file, name, null, options, cancellation);

    /// <summary>Why what begins like this is no image, as far as its beginning tells; null when it may be one.</summary>
    internal string? WhyNot(ReadOnlySpan<byte> head)
    {
        foreach (var format in _formats)
        {
            if (format is not PackedFormat && format.Recognizes(head, long.MaxValue))
                return null;
        }
        return ForeignFile.Describe(head) ?? (ForeignFile.IsText(head) ? "it is a text file" : null);
    }

    private bool IsVmwareMemory(MappedFile file) =>
        Array.Exists(_formats, format => format is VmwareFormat) && !Array.Exists(_formats, format => format.Recognizes(file.Span(0, HeadSize), file.Length));

    private IImageFormat Named(string name) => name == RawImageFormat.FormatName
        ? new RawImageFormat()
        : Array.Find(_formats, format => format.Name == name)
            ?? throw new ImageFormatException($"there is no image format '{name}'; known are {string.Join(", ", Formats)}");

    private View OpenFile(MappedFile file, string name, IImageFormat? asked, ImageOpenOptions options, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var head = file.Span(0, HeadSize);
        if (asked is not null and not RawImageFormat && !asked.Recognizes(head, file.Length))
            throw new ImageFormatException($"'{file.Path}' is no {asked.Name} image; leave the format away to have it found by content");
        var format = asked;
        // Who says where the parts of raw memory lie says that it is raw, packed or not; where low RAM ends may also be said of a format that leaves it open.
        if (format is null && (options.RawLayout is not null || options.RawLowSize is not null))
            format = Array.Find(_formats, candidate => (candidate is PackedFormat || (options.RawLayout is null && candidate.TakesLowSize)) && candidate.Recognizes(file.Span(0, HeadSize), file.Length)) ?? new RawImageFormat();
        format ??= Array.Find(_formats, candidate => candidate.Recognizes(file.Span(0, HeadSize), file.Length));
        if (format is null)
        {
            if (RawImageFormat.WhyNot(name, head, file.Length) is { } reason)
                throw new ImageFormatException($"'{file.Path}' is no memory image that we know: {reason}");
            format = new RawImageFormat();
        }
        return format.Open(file, options, cancellation);
    }
}
