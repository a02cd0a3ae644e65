namespace Forengate.Memory;

/// <summary>One image format that can be read into a view.</summary>
public interface IImageFormat
{
    /// <summary>Short name, as <c>--format</c> takes it and as stable in JSON: "elf", "raw", …</summary>
    string Name { get; }

    /// <summary>
    /// True when the beginning of a file says that it is of this format, readable or not: what is then wrong with it is for <see cref="Open"/> to tell. No two formats claim the same file.
    /// </summary>
    /// <param name="head">The first bytes of the file, at most 64 KiB, fewer when the file is shorter.</param>
    /// <param name="length">Size of the file in bytes.</param>
    bool Recognizes(ReadOnlySpan<byte> head, long length);

    /// <summary>True when the format does not say outright where low RAM ends, so that <see cref="ImageOpenOptions.RawLowSize"/> is a word on it and does not mean a raw image.</summary>
    bool TakesLowSize => false;

    /// <summary>Makes a view of the file. The view owns <paramref name="file"/> from then on; when this throws, the caller still does.</summary>
    /// <exception cref="ImageFormatException">The file claims the format and does not keep to it, or is of a kind that is not supported.</exception>
    View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation);
}
