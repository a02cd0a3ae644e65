namespace Forengate.Memory;

/// <summary>Where the pages of a migration stream lie after it was read: by the offsets that <see cref="MigrationInput.TryKeep"/> gave. Safe for concurrent reads.</summary>
internal abstract class MigrationBytes : IDisposable
{
    /// <summary>Copies bytes from <paramref name="offset"/> on.</summary>
    /// <returns>Bytes copied: fewer only where the source ends.</returns>
    public abstract int Read(long offset, Span<byte> destination);

    /// <summary>Bytes without a copy, until this is disposed; empty where that can't be.</summary>
    public virtual ReadOnlySpan<byte> Map(long offset, int length) => default;

    /// <summary>A hint that this part is about to be read from front to back.</summary>
    public virtual void Prefetch(long offset, long length)
    {
    }

    public abstract void Dispose();
}
