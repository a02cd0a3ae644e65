using System.Buffers;
using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// Another memory that may change while it is read, with a note of what each page held when it was first read. <see cref="Measure"/> reads them again and says how many changed.
/// </summary>
/// <remarks>
/// Pages that walks touch are noted one by one, whole, as they are first read; of large reads only an even sample is. What is kept is one bit a page and at most <see cref="MostNoted"/> notes
/// of 16 bytes, whatever the guest's size.
/// </remarks>
public sealed class WatchedMemory : PhysicalMemory
{
    /// <summary>Notes kept: when all are used up, what comes is counted and not noted.</summary>
    public const int MostNoted = 32_768;

    /// <summary>Pages of the even sample: a share of the pages is known to within one part in a hundred.</summary>
    public const int SampleSize = 16_384;

    /// <summary>From this many bytes on a read belongs to a pass over memory, of which only the sample is noted.</summary>
    private const int LargeRead = 64 << 10;

    /// <summary>Pages compared at a time.</summary>
    private const int Batch = 256;

    /// <summary>Neighbours fall far from each other, and any stretch of frames has its share of the sample (Knuth, multiplicative hashing: 2^64 by the golden ratio).</summary>
    private const ulong Spread = 0x9E37_79B9_7F4A_7C15;

    private readonly PhysicalMemory _source;
    private readonly ulong[] _starts;
    private readonly ulong[] _firstBits;
    private readonly ulong[] _seen;
    private readonly ulong _stride;
    private readonly List<Note> _notes = [];
    private long _first;
    private long _last;
    private bool _disposed;

    /// <param name="source">Owned: disposed with this.</param>
    public WatchedMemory(PhysicalMemory source)
    {
        ArgumentNullException.ThrowIfNull(source);
        _source = source;
        var ranges = source.Ranges;
        _starts = [.. ranges.Select(range => range.Start.Value)];
        _firstBits = new ulong[ranges.Count];
        var pages = 0UL;
        for (var i = 0; i < ranges.Count; i++)
        {
            _firstBits[i] = pages;
            pages += ranges[i].PageCount;
        }
        _seen = new ulong[(pages + 63) / 64];
        _stride = Math.Max(1, (pages + SampleSize - 1) / SampleSize);
    }

    /// <summary>What is watched.</summary>
    public PhysicalMemory Source => _source;

    /// <summary>As it was last measured: at the latest when this was disposed. Null before.</summary>
    public SmearScore? Score { get; private set; }

    public override bool MayChange => _source.MayChange;

    public override IReadOnlyList<PhysicalRange> Ranges => _source.Ranges;

    public override PageState StateOf(PhysicalAddress address) => _source.StateOf(address);

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength) => _source.RunAt(address, maxLength);

    public override void Prefetch(PhysicalAddress address, ulong length) => _source.Prefetch(address, length);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        Tick();
        if (destination.Length >= LargeRead)
        {
            var got = _source.Read(address, destination);
            NotePart(address, destination[..got], sampleOnly: true);
            return got;
        }
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var part = destination.Slice(done, Math.Min(Page.Size - here.PageOffset, destination.Length - done));
            if (!IsNew(here) || !ReadFirst(here, part))
            {
                var got = _source.Read(here, part);
                done += got;
                if (got < part.Length)
                    break;
                continue;
            }
            done += part.Length;
        }
        return done;
    }

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        Tick();
        var readable = _source.ReadPages(pages, destination, states);
        for (var i = 0; i < pages.Length; i++)
        {
            if (states[i] is PageState.Present or PageState.Zero)
                NotePage(pages[i].PageStart, destination.Slice(i * Page.Size, Page.Size), sampleOnly: false);
        }
        return readable;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        var span = _source.Map(address, maxLength);
        if (span.IsEmpty)
            return span;
        Tick();
        // A piece of a page is mapped: the note is of the whole page.
        if (span.Length <= Page.Size - address.PageOffset && span.Length < Page.Size)
        {
            if (IsNew(address) && _source.Map(address.PageStart, Page.Size) is { Length: Page.Size } page)
                NotePage(address.PageStart, page, sampleOnly: false);
        }
        else
        {
            NotePart(address, span, sampleOnly: span.Length >= LargeRead);
        }
        return span;
    }

    /// <summary>
    /// Reads the pages noted again and says how many differ. Costs at most <see cref="MostNoted"/> pages of reading (128 MiB); may be called again after more was read.
    /// </summary>
    public SmearScore Measure()
    {
        Note[] notes;
        lock (_notes)
            notes = [.. _notes];
        Array.Sort(notes, static (left, right) => left.Frame.CompareTo(right.Frame));
        var read = 0UL;
        foreach (var word in _seen)
            read += (ulong)BitOperations.PopCount(word);
        ulong changed = 0, sampled = 0, changedInSample = 0;
        var buffer = ArrayPool<byte>.Shared.Rent(Batch * Page.Size);
        try
        {
            Span<PhysicalAddress> pages = stackalloc PhysicalAddress[Batch];
            Span<PageState> states = stackalloc PageState[Batch];
            for (var done = 0; done < notes.Length; done += Batch)
            {
                var batch = notes.AsSpan(done, Math.Min(Batch, notes.Length - done));
                for (var i = 0; i < batch.Length; i++)
                    pages[i] = PhysicalAddress.FromFrame(batch[i].Frame);
                _source.ReadPages(pages[..batch.Length], buffer.AsSpan(0, batch.Length * Page.Size), states[..batch.Length]);
                for (var i = 0; i < batch.Length; i++)
                {
                    var inSample = IsInSample(batch[i].Frame);
                    sampled += inSample ? 1u : 0;
                    if (states[i] is PageState.Present or PageState.Zero && HashOf(buffer.AsSpan(i * Page.Size, Page.Size)) == batch[i].Hash)
                        continue;
                    changed++;
                    changedInSample += inSample ? 1u : 0;
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
        // Pages that walks touched are no even sample of all that was read: where not every page is noted, only those of the sample speak for the rest.
        var isWhole = (ulong)notes.Length >= read || sampled == 0;
        return Score = new SmearScore
        {
            PagesRead = read,
            PagesCompared = isWhole ? (ulong)notes.Length : sampled,
            PagesChanged = isWhole ? changed : changedInSample,
            Reading = _first == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(_first, Volatile.Read(ref _last)),
        };
    }

    /// <summary>Reads the whole page that a small read is the first to touch, notes it, and answers from it: what is compared later is what the reader got.</summary>
    private bool ReadFirst(PhysicalAddress address, Span<byte> destination)
    {
        Span<byte> page = stackalloc byte[Page.Size];
        if (_source.Read(address.PageStart, page) != Page.Size)
            return false;
        NotePage(address.PageStart, page, sampleOnly: false);
        page.Slice(address.PageOffset, destination.Length).CopyTo(destination);
        return true;
    }

    /// <summary>Notes the whole pages of a longer read. A page at its ends that was read in part is counted, and noted where it is asked for again.</summary>
    private void NotePart(PhysicalAddress address, ReadOnlySpan<byte> bytes, bool sampleOnly)
    {
        var skip = address.PageOffset == 0 ? 0 : Page.Size - address.PageOffset;
        for (var at = skip; at + Page.Size <= bytes.Length; at += Page.Size)
            NotePage(address + (ulong)at, bytes.Slice(at, Page.Size), sampleOnly);
    }

    private void NotePage(PhysicalAddress page, ReadOnlySpan<byte> bytes, bool sampleOnly)
    {
        if (!TryMark(page))
            return;
        if (sampleOnly && !IsInSample(page.Frame))
            return;
        var hash = HashOf(bytes);
        lock (_notes)
        {
            if (_notes.Count < MostNoted)
                _notes.Add(new Note(page.Frame, hash));
        }
    }

    private bool IsInSample(ulong frame) => (UInt128)(frame * Spread) * _stride >> 64 == 0;

    private bool IsNew(PhysicalAddress address) => BitOf(address) is { } bit && (Volatile.Read(ref _seen[bit >> 6]) >> (int)(bit & 63) & 1) == 0;

    /// <summary>True for the one who is first.</summary>
    private bool TryMark(PhysicalAddress address)
    {
        if (BitOf(address) is not { } bit)
            return false;
        var mask = 1UL << (int)(bit & 63);
        ref var word = ref _seen[bit >> 6];
        return (Volatile.Read(ref word) & mask) == 0 && (Interlocked.Or(ref word, mask) & mask) == 0;
    }

    private ulong? BitOf(PhysicalAddress address)
    {
        var at = Array.BinarySearch(_starts, address.Value);
        if (at < 0)
            at = ~at - 1;
        return at >= 0 && _source.Ranges[at].Contains(address) ? _firstBits[at] + ((address - _source.Ranges[at].Start) >> Page.Shift) : null;
    }

    private void Tick()
    {
        var now = Stopwatch.GetTimestamp();
        if (_first == 0)
            Interlocked.CompareExchange(ref _first, now, 0);
        Volatile.Write(ref _last, now);
    }

    /// <summary>Four CRC-32C side by side, which the CPU computes at some bytes a cycle. Against chance, not against malice: a guest that wants to look still can't be helped.</summary>
    internal static ulong HashOf(ReadOnlySpan<byte> page)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(page);
        var lane = words.Length / 4;
        uint a = 1, b = 2, c = 3, d = 4;
        for (var i = 0; i < lane; i++)
        {
            a = BitOperations.Crc32C(a, words[i]);
            b = BitOperations.Crc32C(b, words[lane + i]);
            c = BitOperations.Crc32C(c, words[(2 * lane) + i]);
            d = BitOperations.Crc32C(d, words[(3 * lane) + i]);
        }
        return (((ulong)a << 32) | b) ^ BitOperations.RotateLeft(((ulong)c << 32) | d, 29);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            Measure();
            _source.Dispose();
        }
        base.Dispose(disposing);
    }

    private readonly record struct Note(ulong Frame, ulong Hash);
}
