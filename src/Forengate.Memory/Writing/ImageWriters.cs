namespace Forengate.Memory;

/// <summary>The formats that views are written as in this room: one line each.</summary>
public static class ImageWriters
{
    public static IReadOnlyList<IImageWriter> All { get; } =
    [
        KdumpWriter.WithZlib,
        KdumpWriter.WithZstd,
        new ElfCoreWriter(),
        new RawImageWriter(),
        new LimeWriter(),
    ];
}
