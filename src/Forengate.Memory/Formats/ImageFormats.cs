namespace Forengate.Memory;

/// <summary>The formats that <see cref="ImageReader.Default"/> knows by content: one line each.</summary>
internal static class ImageFormats
{
    public static IReadOnlyList<IImageFormat> All { get; } =
    [
        new ElfCoreFormat(),
        new QemuCoreFormat(),
        new CrashDumpFormat(),
        new KdumpFormat(),
        new LibvirtSaveFormat(),
        new PackedFormat(),
        new MigrationFormat(),
        new LimeFormat(),
        new VmwareFormat(),
    ];
}
