using System.Collections.Concurrent;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A copy of guest RAM in our own memory, and in a file as far as the host has none, made ready before the guest is stopped.</summary>
internal sealed unsafe class CopiedMemory : PhysicalMemory
{
    /// <summary>More threads make no disk faster, and each needs memory for what it is writing.</summary>
    private const int MostSpilling = (int)(CopyRoom.Staging / CopyThreads.Chunk);

    private readonly IReadOnlyList<PhysicalRange> _ranges;
    private readonly ulong[] _starts;
    private readonly ulong[] _offsets;
    private readonly CopyBuffer _buffer;
    private readonly FilledPages _filled;
    private readonly ConcurrentBag<MappedRegion> _staging = [];
    private readonly HashSet<ulong> _missing = [];

    private CopiedMemory(IReadOnlyList<PhysicalRange> ranges, CopyBuffer buffer)
    {
        _ranges = ranges;
        _buffer = buffer;
        _filled = new FilledPages(buffer.Start, buffer.Memory);
        _starts = [.. ranges.Select(r => r.Start.Value)];
        _offsets = new ulong[ranges.Count];
        for (var i = 1; i < _offsets.Length; i++)
            _offsets[i] = _offsets[i - 1] + ranges[i - 1].Length;
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _ranges;

    /// <summary>Pages that could not be read from QEMU.</summary>
    public int MissingPages => _missing.Count;

    /// <summary>Room for a copy, every page of its memory present. Null when the host has not enough after all.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public static CopiedMemory? Prepare(IReadOnlyList<PhysicalRange> ranges, CopyRoom room, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        if (CopyBuffer.Prepare(room, 0, threads, progress, ct) is not { } buffer)
            return null;
        var memory = new CopiedMemory(ranges, buffer);
        for (var i = 0; buffer.File is not null && i < Math.Min(threads, MostSpilling); i++)
        {
            if (MappedRegion.Anonymous(CopyThreads.Chunk) is not { } staging)
            {
                memory.Dispose();
                return null;
            }
            memory._staging.Add(staging);
            if (!staging.Populate(0, CopyThreads.Chunk))
            {
                memory.Dispose();
                return null;
            }
        }
        return memory;
    }

    /// <summary>What can be done before the guest is stopped to have it copied sooner.</summary>
    public static void MakeReady(LiveMemory source, GuestMemoryMap map, int threads, CancellationToken ct)
    {
        source.PrepareToCopy(threads);
        foreach (var section in map.Sections)
            CopyThreads.Run(section.Length, threads, (offset, length) => source.Prepare(section, offset, length), ct);
    }

    private int Threads(int threads) => _buffer.File is null ? threads : Math.Min(threads, MostSpilling);

    /// <summary>
    /// The same while the guest still runs, of which nothing is kept. Afterwards what the host had swapped out is there, both memories have been walked through as they will be, and all the
    /// code has been run that the guest would wait for (measured: docs/capture.md).
    /// </summary>
    /// <param name="source">The guest's; made ready.</param>
    /// <param name="map">Of its memory.</param>
    /// <param name="ballooned">Pages that it gave back are looked for when it stands still: nothing is done where reading them would hide them.</param>
    /// <param name="threads">That copy.</param>
    /// <param name="progress">Told how far that is.</param>
    /// <param name="ct">Ends it.</param>
    public void CopyAhead(LiveMemory source, GuestMemoryMap map, bool ballooned, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        if (ballooned && source.Absent is { AreTold: false })
            return;
        Copy(source, map, Threads(threads), CapturePhase.CopyingAhead, progress, begin: null, ct);
        _missing.Clear();
    }

    /// <summary>Copies all RAM with all threads; where <paramref name="begin"/> is given, once it is set. Returns false when the guest ended meanwhile.</summary>
    public bool CopyFrom(LiveMemory source, GuestMemoryMap map, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct, ManualResetEventSlim? begin = null)
    {
        Copy(source, map, Threads(threads), CapturePhase.Copying, progress, begin, ct);
        while (_staging.TryTake(out var done))
            done.Dispose();
        return !source.IsGone();
    }

    private void Copy(LiveMemory source, GuestMemoryMap map, int threads, CapturePhase phase, IProgress<CaptureProgress>? progress, ManualResetEventSlim? begin, CancellationToken ct)
    {
        var sections = map.Sections;
        var starts = new ulong[sections.Count];
        for (var i = 1; i < starts.Length; i++)
            starts[i] = starts[i - 1] + sections[i - 1].Length;
        var copied = 0L;
        // Sections follow each other in the copy as ranges do: both ascend and cover the same bytes.
        CopyThreads.Run(map.Size, threads, (offset, length) =>
        {
            if (source.IsGone())
                return;
            var spills = offset >= _buffer.Memory;
            MappedRegion? staging = null;
            if (spills && !_staging.TryTake(out staging))
                throw new InvalidOperationException("more threads copy than have memory for it");
            var target = staging is null ? _buffer.Start + offset : staging.Start;
            for (var done = 0UL; done < length;)
            {
                var at = Array.BinarySearch(starts, offset + done);
                if (at < 0)
                    at = ~at - 1;
                var inSection = offset + done - starts[at];
                var step = Math.Min(length - done, sections[at].Length - inSection);
                CopyPart(source, sections[at], inSection, target + done, step, staging is null ? _filled : null);
                done += step;
            }
            if (staging is not null)
            {
                // The file is zeros where nothing was written; what is not kept would only keep the disk busy.
                if (phase == CapturePhase.Copying && new ReadOnlySpan<byte>(target, (int)length).ContainsAnyExcept((byte)0))
                    _buffer.Spill(target, offset, length);
                _staging.Add(staging);
            }
            progress?.Report(new CaptureProgress(phase, (ulong)Interlocked.Add(ref copied, (long)length), map.Size));
        }, ct, begin);
    }

    private void CopyPart(LiveMemory source, in RamSection section, ulong offset, byte* target, ulong length, FilledPages? filled)
    {
        var done = 0UL;
        while (done < length)
        {
            done += source.CopySection(section, offset + done, target + done, length - done, filled) & ~Page.OffsetMask;
            if (done >= length || source.IsGone())
                return;
            // This page has no bytes (a memory error of the host, a gap in a backend): go on behind it.
            new Span<byte>(target + done, Page.Size).Clear();
            lock (_missing)
                _missing.Add((section.Start + offset + done).Frame);
            done += Page.Size;
        }
    }

    private bool TryFind(PhysicalAddress address, out ulong offset, out ulong left)
    {
        offset = left = 0;
        var at = Array.BinarySearch(_starts, address.Value);
        if (at < 0)
            at = ~at - 1;
        if (at < 0 || !_ranges[at].Contains(address))
            return false;
        var inRange = address - _ranges[at].Start;
        offset = _offsets[at] + inRange;
        left = _ranges[at].Length - inRange;
        return true;
    }

    public override PageState StateOf(PhysicalAddress address) =>
        TryFind(address, out _, out _) && !(_missing.Count > 0 && _missing.Contains(address.Frame)) ? PageState.Present : PageState.Missing;

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        using var held = _buffer.Hold();
        var done = 0;
        while (done < destination.Length)
        {
            var span = Map(address + (ulong)done, destination.Length - done);
            if (span.IsEmpty)
                break;
            span.CopyTo(destination[done..]);
            done += span.Length;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        if (maxLength <= 0 || !TryFind(address, out var offset, out var left))
            return default;
        var length = Math.Min((ulong)maxLength, left);
        if (_missing.Count > 0)
            length = UpToMissing(address, length);
        return new ReadOnlySpan<byte>(_buffer.Start + offset, (int)length);
    }

    private ulong UpToMissing(PhysicalAddress address, ulong length)
    {
        for (var page = address.PageStart; page < address + length; page += Page.Size)
        {
            if (_missing.Contains(page.Frame))
                return page <= address ? 0 : page - address;
        }
        return length;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _buffer.Dispose();
            while (_staging.TryTake(out var staging))
                staging.Dispose();
        }
        base.Dispose(disposing);
    }
}
