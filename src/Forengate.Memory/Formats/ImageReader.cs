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
        var raw = new RawImageFormat();
        IImageFormat? asked = null;
        if (options.Format is { } name)
        {
            asked = name == raw.Name ? raw : Array.Find(_formats, format => format.Name == name);
            if (asked is null)
                throw new ImageFormatException($"there is no image format '{name}'; known are {string.Join(", ", Formats)}");
        }

        var file = MappedFile.Open(path);
        try
        {
            cancellation.ThrowIfCancellationRequested();
            var head = file.Span(0, HeadSize);
            var format = asked;
            if (format is not null && format != raw && !format.Recognizes(head, file.Length))
                throw new ImageFormatException($"'{path}' is no {format.Name} image; leave the format away to have it found by content");
            if (format is null && (options.RawLayout is not null || options.RawLowSize is not null))
                format = raw;
            format ??= Array.Find(_formats, candidate => candidate.Recognizes(file.Span(0, HeadSize), file.Length));
            // A .vmem is raw memory in pieces; the state beside it says where they belong, and what the registers hold.
            if (format is null && VmwareFormat.StateOf(path) is { } state && Array.Exists(_formats, known => known.Name == VmwareFormat.FormatName))
            {
                var view = OpenImage(state, options with { Format = VmwareFormat.FormatName }, cancellation);
                file.Dispose();
                return view;
            }
            if (format is null)
            {
                if (RawImageFormat.WhyNot(path, head, file.Length) is { } reason)
                    throw new ImageFormatException($"'{path}' is no memory image that we know: {reason}");
                format = raw;
            }
            return format.Open(file, options, cancellation);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }
}
