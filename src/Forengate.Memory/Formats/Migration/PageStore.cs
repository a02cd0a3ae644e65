namespace Forengate.Memory;

/// <summary>Keeps the pages of a stream that can be read only once. Filled by one thread; reads are safe for several, once it is filled.</summary>
public abstract class PageStore : IDisposable
{
    /// <summary>Keeps some bytes: a page, seldom less (a packed one).</summary>
    /// <returns>The offset at which they are found again.</returns>
    public abstract long Keep(ReadOnlySpan<byte> bytes);

    /// <summary>Copies bytes from <paramref name="offset"/> on.</summary>
    /// <returns>Bytes copied: fewer only where what was kept ends.</returns>
    public abstract int Read(long offset, Span<byte> destination);

    /// <summary>Bytes without a copy, until this is disposed; empty where that can't be.</summary>
    public abstract ReadOnlySpan<byte> Map(long offset, int length);

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected abstract void Dispose(bool disposing);
}
