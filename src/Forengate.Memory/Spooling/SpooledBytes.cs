namespace Forengate.Memory;

/// <summary>Pages that were spooled; mapped when the first of them is asked for, after the last was written.</summary>
/// <param name="spool">Owned.</param>
/// <param name="image">The image's path, for messages.</param>
internal sealed class SpooledBytes(Spool spool, string image) : MigrationBytes
{
    private readonly Lock _lock = new();
    private MappedFile? _mapped;

    private MappedFile Mapped
    {
        get
        {
            if (Volatile.Read(ref _mapped) is { } mapped)
                return mapped;
            lock (_lock)
                return _mapped ??= spool.Map(image);
        }
    }

    /// <summary>Ends the writing.</summary>
    /// <exception cref="ImageFormatException">What was left could not be written.</exception>
    public void Seal() => _ = Mapped;

    public override int Read(long offset, Span<byte> destination)
    {
        var source = Mapped.Span(offset, destination.Length);
        source.CopyTo(destination);
        return source.Length;
    }

    public override ReadOnlySpan<byte> Map(long offset, int length) => Mapped.Span(offset, length);

    public override void Prefetch(long offset, long length) => Mapped.Advise(MappedFileAdvice.Populate, offset, length);

    public override void Dispose()
    {
        _mapped?.Dispose();
        spool.Dispose();
    }
}
