namespace Forengate.Memory;

/// <summary>
/// An image that somebody packed as a whole: <c>guest.raw.gz</c>, <c>core.zst</c>, or what <c>virsh dump</c> writes with <c>dump_image_format</c> set. It can't be read at random, so it is unpacked once, to a
/// temporary file without a name, and read there; a migration stream is read while it is unpacked. docs/formats/libvirt-save.md says more.
/// </summary>
public sealed class PackedFormat : IImageFormat
{
    public const string FormatName = "packed";

    private const int HeadSize = 64 << 10;
    private const int ChunkSize = 1 << 20;

    private static readonly string[] Extensions = [".gz", ".bz2", ".xz", ".lzo", ".zst", ".zstd"];

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => PackingMagic.Of(head) != Packing.None;

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        var packing = PackingMagic.Of(file.Span(0, HeadSize));
        using var stream = UnpackingStream.Open(packing, file, 0);
        var buffer = new byte[ChunkSize];
        var head = buffer.AsSpan(0, stream.ReadAtLeast(buffer.AsSpan(0, HeadSize), HeadSize, throwOnEndOfStream: false));
        if (head.IsEmpty)
            throw new ImageFormatException($"'{file.Path}' is packed by {PackingMagic.NameOf(packing)} and holds nothing: {stream.Damage ?? "it is empty"}");
        if (new MigrationFormat().Recognizes(head, long.MaxValue))
            return PackedStream.Open(file, 0, packing, new MigrationSource { Target = file.Path, Format = "QEMU migration stream" }, options, cancellation);
        if (ImageReader.Default.WhyNot(head) is { } reason)
            throw new ImageFormatException($"'{file.Path}' is packed by {PackingMagic.NameOf(packing)}, and what is in it is no memory image that we know: {reason}");

        using var spool = new Spool(file.Path, options, file.Length);
        Keep(spool, head);
        for (var filled = 0; (filled = stream.ReadAtLeast(buffer, ChunkSize, throwOnEndOfStream: false)) != 0;)
        {
            cancellation.ThrowIfCancellationRequested();
            options.Progress?.Report(new ImageOpenProgress("unpacking", stream.PackedPosition, file.Length));
            Keep(spool, buffer.AsSpan(0, filled));
        }
        var unpacked = spool.Map(file.Path);
        try
        {
            var name = Extensions.Contains(Path.GetExtension(file.Path), StringComparer.OrdinalIgnoreCase) ? Path.GetFileNameWithoutExtension(file.Path) : file.Path;
            var view = ImageReader.Default.OpenUnpacked(unpacked, name, options with { Format = null }, cancellation);
            var inner = view.Origin.Packing is { } own and not "none" ? $", {own}" : "";
            var origin = view.Origin with
            {
                Packing = PackingMagic.NameOf(packing) + inner,
                FileBytes = (ulong)file.Length,
                Remarks = [.. view.Origin.Remarks, PackedStream.Remark(packing, spool)],
                Damage = stream.Damage is { } damage ? [.. view.Origin.Damage, damage] : view.Origin.Damage,
            };
            var result = new View(view.Memory, view.Cpus, view.Consistency, origin, file);
            return result;
        }
        catch
        {
            unpacked.Dispose();
            throw;
        }
    }

    /// <summary>Pages of zeros stay holes: the readers take those for zero pages.</summary>
    private static void Keep(Spool spool, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var zeros = 0;
            while (zeros < bytes.Length && !bytes.Slice(zeros, Math.Min(Page.Size, bytes.Length - zeros)).ContainsAnyExcept((byte)0))
                zeros = Math.Min(zeros + Page.Size, bytes.Length);
            if (zeros != 0)
                spool.Skip(zeros);
            bytes = bytes[zeros..];
            var others = 0;
            while (others < bytes.Length && bytes.Slice(others, Math.Min(Page.Size, bytes.Length - others)).ContainsAnyExcept((byte)0))
                others = Math.Min(others + Page.Size, bytes.Length);
            spool.Append(bytes[..others]);
            bytes = bytes[others..];
        }
    }
}
