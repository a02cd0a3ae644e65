using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>QEMU's migration stream as a file: <c>migrate</c> to a file, a background snapshot. docs/formats/migration-stream.md has the layout.</summary>
public sealed class MigrationFormat : IImageFormat
{
    public const string FormatName = "qevm";

    public string Name => FormatName;

    public bool TakesLowSize => true;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) =>
        head.Length >= MigrationLayout.HeaderSize && BinaryPrimitives.ReadUInt32BigEndian(head) == MigrationLayout.Magic;

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation) => MigrationImage.Open(
        file, 0, file.Length, new MigrationSource { Target = file.Path, Format = "QEMU migration stream", FileBytes = (ulong)file.Length }, options, cancellation);
}
