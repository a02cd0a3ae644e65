namespace Forengate.Memory;

/// <summary>Pages that lie in a mapped file.</summary>
/// <param name="file">Owned.</param>
internal sealed class MappedBytes(MappedFile file) : MigrationBytes
{
    public override int Read(long offset, Span<byte> destination)
    {
        var source = file.Span(offset, destination.Length);
        source.CopyTo(destination);
        return source.Length;
    }

    public override ReadOnlySpan<byte> Map(long offset, int length) => file.Span(offset, length);

    public override void Prefetch(long offset, long length)
    {
        file.CheckLength();
        file.Advise(MappedFileAdvice.Populate, offset, length);
    }

    public override void Dispose() => file.Dispose();
}
