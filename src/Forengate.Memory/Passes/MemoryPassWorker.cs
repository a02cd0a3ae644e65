using System.Buffers;

namespace Forengate.Memory;

/// <summary>One thread's part in a pass.</summary>
internal sealed class MemoryPassWorker : IDisposable
{
    /// <summary>Bytes by which the longest pattern reaches over an edge.</summary>
    private const int Overhang = BytePattern.MaxLength - 1;

    private const int BufferSize = 1 << 20;

    private readonly MemoryPass _pass;
    private readonly PhysicalMemory _memory;
    private readonly byte[] _edge = new byte[2 * Overhang];
    private readonly byte[] _page = new byte[Page.Size];
    private byte[]? _buffer;

    public MemoryPassWorker(MemoryPass pass, PhysicalMemory memory)
    {
        _pass = pass;
        _memory = memory;
    }

    /// <summary>Looks at one chunk.</summary>
    public void Look(in ChunkSource.Chunk chunk, CancellationToken cancellation)
    {
        if (chunk.IsZero)
        {
            LookAtEdge(new PhysicalAddress(chunk.End.Value - Overhang), chunk.End, chunk.End);
            return;
        }

        _memory.Prefetch(chunk.Start, chunk.End - chunk.Start);
        var visited = chunk.Start;
        for (var position = chunk.Start; position < chunk.End;)
        {
            cancellation.ThrowIfCancellationRequested();
            var left = (int)(chunk.End - position);
            var starts = left;
            var bytes = _memory.Map(position, left + Overhang);
            if (bytes.IsEmpty)
            {
                _buffer ??= ArrayPool<byte>.Shared.Rent(BufferSize + Overhang);
                starts = Math.Min(left, BufferSize);
                bytes = _buffer.AsSpan(0, _memory.Read(position, _buffer.AsSpan(0, starts + Overhang)));
            }
            if (bytes.IsEmpty)
            {
                // The source had the page and lost it: a file cut short, a guest that went away.
                position = position.PageStart + Page.Size;
                visited = position;
                continue;
            }

            var isWhole = bytes.Length == starts + Overhang;
            starts = Math.Min(starts, bytes.Length);
            if (_pass.Patterns is not null)
            {
                Search(bytes, position, starts, endsBehind: 0);
                if (!isWhole)
                    LookAtEdge(Later(position, position + (ulong)bytes.Length), position + (ulong)bytes.Length, position + (ulong)starts);
            }
            if (_pass.Pages is { } pages)
                visited = Visit(pages, bytes, position, visited, position + (ulong)starts);
            position += (ulong)starts;
        }
    }

    public void Dispose()
    {
        if (_buffer is { } buffer)
            ArrayPool<byte>.Shared.Return(buffer);
    }

    /// <summary>The first address from which a pattern may reach over <paramref name="edge"/>, not before <paramref name="start"/>.</summary>
    private static PhysicalAddress Later(PhysicalAddress start, PhysicalAddress edge) =>
        edge - start > Overhang ? new PhysicalAddress(edge.Value - Overhang) : start;

    /// <summary>Patterns that start at <paramref name="from"/> or behind, before <paramref name="limit"/>, and end behind <paramref name="edge"/>, where what could be read at once ended.</summary>
    private void LookAtEdge(PhysicalAddress from, PhysicalAddress edge, PhysicalAddress limit)
    {
        if (_pass.Patterns is null)
            return;
        var before = (int)(edge - from);
        var got = _memory.Read(from, _edge.AsSpan(0, before + Overhang));
        if (got > before)
            Search(_edge.AsSpan(0, got), from, (int)(limit - from), before);
    }

    private void Search(ReadOnlySpan<byte> bytes, PhysicalAddress at, int starts, int endsBehind)
    {
        var sink = new Sink(_pass.OnHit);
        _pass.Patterns!.Search(bytes, at, starts, endsBehind, ref sink, _pass.VectorBytes);
    }

    /// <summary>Visits the pages that begin before <paramref name="end"/> and were not visited yet.</summary>
    /// <returns>The first page that is still to be visited.</returns>
    private PhysicalAddress Visit(IPageVisitor visitor, ReadOnlySpan<byte> bytes, PhysicalAddress at, PhysicalAddress next, PhysicalAddress end)
    {
        for (; next < end; next += Page.Size)
        {
            var offset = (int)(next - at);
            if (next >= at && bytes.Length - offset >= Page.Size)
                visitor.Visit(next, bytes.Slice(offset, Page.Size));
            else if (_memory.TryRead(next, _page))
                visitor.Visit(next, _page);
        }
        return next;
    }

    private readonly struct Sink(Action<PatternHit>? handler) : IPatternSink
    {
        public void Found(PatternHit hit) => handler?.Invoke(hit);
    }
}
