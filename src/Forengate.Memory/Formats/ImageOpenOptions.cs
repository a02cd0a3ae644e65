namespace Forengate.Memory;

/// <summary>What a user may say about an image file that it does not say itself.</summary>
public sealed record ImageOpenOptions
{
    public static ImageOpenOptions Default { get; } = new();

    /// <summary>Take the file for this format (<see cref="IImageFormat.Name"/>) whatever it looks like; null: by content.</summary>
    public string? Format { get; init; }

    /// <summary>Where the parts of a raw image lie in guest-physical memory; null: file offset = guest-physical address.</summary>
    public RawLayout? RawLayout { get; init; }

    /// <summary>
    /// RAM below 4 GiB, in bytes, of a raw image that holds low and high memory without the hole between them; null: no hole. <see cref="RawLayout"/> goes before it.
    /// Of a migration stream or save file: overrules what its machine type and tables say of it.
    /// </summary>
    public ulong? RawLowSize { get; init; }

    /// <summary>Folder for what is worth keeping between openings (indexes of streams) and for spooled memory; null: keep nothing, spool to the system's temporary folder.</summary>
    public string? CacheFolder { get; init; }

    /// <summary>Bounds on what is believed of the file.</summary>
    public ImageLimits Limits { get; init; } = ImageLimits.Default;

    /// <summary>Told where opening takes long.</summary>
    public IProgress<ImageOpenProgress>? Progress { get; init; }
}
