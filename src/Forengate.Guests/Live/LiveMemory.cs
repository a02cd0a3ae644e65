using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Guest RAM read in place from the QEMU process, never written: by <c>process_vm_readv</c> (many scattered pages a call), by <c>/proc/PID/mem</c> where a sandbox forbids that
/// call, and from the shared backend (memfd, file) where RAM has one. Reads of a guest that ended give nothing, and <see cref="Failure"/> says so.
/// </summary>
public sealed unsafe class LiveMemory : PhysicalMemory
{
    private readonly GuestMemoryMap _map;
    private readonly QemuProcess _process;
    private readonly SharedBackends _backends;
    private AbsentPages? _absent;
    private CopyStage? _stage;
    private readonly ulong[] _starts;
    private readonly Descriptor? _memoryFile;
    private readonly PageCache? _cache;
    private int _ended;
    private long _asked;
    private long _copied;

    /// <param name="map">Where RAM lies.</param>
    /// <param name="process">Not owned.</param>
    /// <param name="standing">True when the guest stands still as long as this is used, so that pages may be kept.</param>
    internal LiveMemory(GuestMemoryMap map, QemuProcess process, bool standing)
    {
        _cache = standing ? new PageCache() : null;
        _map = map;
        _process = process;
        _starts = [.. map.Sections.Select(s => s.Start.Value)];
        _backends = SharedBackends.Open(map, process);
        _memoryFile = CallIsForbidden() ? new Descriptor(LinuxNative.Open($"/proc/{process.Id}/mem", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC)) : null;
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _map.AllRanges;

    public override bool MayChange => _cache is null;

    /// <summary>The guest's memory behind a view's, watched or not; null where the view is of no live guest.</summary>
    public static LiveMemory? Behind(PhysicalMemory memory) => memory switch
    {
        LiveMemory live => live,
        WatchedMemory watched => watched.Source as LiveMemory,
        GivenBackMemory marked => marked.Below as LiveMemory,
        _ => null,
    };

    /// <summary>Why reads have begun to fail: the guest ended. Null as long as all is well.</summary>
    public GuestException? Failure => Volatile.Read(ref _ended) != 0 ? _process.Vanished() : null;

    private bool CallIsForbidden()
    {
        ulong word;
        var local = new LinuxNative.IoVector { Base = (ulong)&word, Length = sizeof(ulong) };
        var remote = new LinuxNative.IoVector { Base = _map.Sections[0].HostAddress, Length = sizeof(ulong) };
        return LinuxNative.ProcessReadVectors(_process.Id, &local, 1, &remote, 1, 0) < 0
            && Marshal.GetLastPInvokeError() is LinuxNative.EPERM or LinuxNative.ENOSYS or LinuxNative.EACCES;
    }

    public override PageState StateOf(PhysicalAddress address) => Failure is not null ? PageState.Missing : Find(address) is not null ? PageState.Present : NoRam(address);

    private PageState NoRam(PhysicalAddress address) => _map.IsUnplugged(address) ? PageState.Ballooned : PageState.Missing;

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        if (_cache is not null && destination.Length <= Page.Size - address.PageOffset && destination.Length < Page.Size && _cache.TryRead(address, destination, ReadNow))
            return destination.Length;
        return ReadNow(address, destination);
    }

    private int ReadNow(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        fixed (byte* target = destination)
        {
            while (done < destination.Length && Find(address + (ulong)done) is { } section)
            {
                var offset = address + (ulong)done - section.Start;
                var wanted = (int)Math.Min((ulong)(destination.Length - done), section.Length - offset);
                var got = ReadSection(section, offset, target + done, (ulong)wanted);
                done += (int)got;
                if (got < (ulong)wanted)
                    break;
            }
        }
        return IsGone() ? 0 : done;
    }

    /// <summary>Reads from one section. Returns the bytes read, in order, up to the first that can't be.</summary>
    private ulong ReadSection(in RamSection section, ulong offset, byte* target, ulong length)
    {
        const ulong Small = 64 << 10;
        return length <= Small && _backends.Read(section, offset, target, length) ? length : Transfer(section, offset, target, length, copies: false, filled: null);
    }

    /// <summary>Bytes that <see cref="CopySection"/> has copied: without what the host has no pages for.</summary>
    internal ulong CopiedBytes => (ulong)Volatile.Read(ref _copied);

    /// <summary>Has what <see cref="CopySection"/> needs made ready, before the guest is stopped.</summary>
    /// <param name="threads">That will copy.</param>
    internal void PrepareToCopy(int threads)
    {
        _absent ??= AbsentPages.Open(_map, _process);
        _stage ??= new CopyStage(threads);
    }

    /// <summary>What tells the pages that the host has never given; null before <see cref="PrepareToCopy"/>.</summary>
    internal AbsentPages? Absent => _absent;

    /// <summary>The pages that a guest with an inflated balloon gave back; null where the host does not tell. The guest stands still.</summary>
    internal IReadOnlyList<PhysicalRange>? FindGivenBack()
    {
        _absent ??= AbsentPages.Open(_map, _process);
        return GivenBackPages.Find(_map, _backends, _absent);
    }

    /// <summary>Makes a stretch of a section ready for <see cref="CopySection"/>.</summary>
    internal void Prepare(in RamSection section, ulong offset, ulong length) => _backends.Prepare(section.HostAddress + offset, length);

    /// <summary>The same as reading, for much that nobody looks at soon.</summary>
    /// <param name="section">Where.</param>
    /// <param name="offset">In it.</param>
    /// <param name="target">At a page's beginning.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="filled">What the target holds; null where nobody knows.</param>
    /// <returns>The bytes copied, in order, up to the first that can't be.</returns>
    internal ulong CopySection(in RamSection section, ulong offset, byte* target, ulong length, FilledPages? filled) =>
        Transfer(section, offset, target, length, copies: true, filled);

    private ulong Transfer(in RamSection section, ulong offset, byte* target, ulong length, bool copies, FilledPages? filled)
    {
        const ulong MostAtOnce = 64 << 20;
        var done = 0UL;
        while (done < length)
        {
            var step = Math.Min(length - done, MostAtOnce);
            var at = section.HostAddress + offset + done;
            // The process is faster to read than the file, but what the guest never touched must not be read there: the host would allocate it.
            if (_backends.TryGetExtent(at, step, out var extent, out var part))
            {
                step = extent;
                if (part == BackendPart.Hole || (copies && part == BackendPart.InMemory && _backends.TryCopy(at, target + done, step)))
                {
                    if (part == BackendPart.Hole)
                        Empty(target + done, step, filled);
                    else
                        NoteCopied(target + done, step, filled);
                    done += step;
                    continue;
                }
            }
            var got = copies ? CopyHost(at, target + done, step, filled) : ReadHost(at, target + done, step);
            done += got;
            if (got < step)
                break;
        }
        return done;
    }

    /// <summary>Copies what the host has pages for, with zeros between.</summary>
    private ulong CopyHost(ulong hostAddress, byte* target, ulong length, FilledPages? filled)
    {
        var done = 0UL;
        var failed = false;
        var known = _absent?.ForEachPresent(hostAddress, length, (start, present, large) =>
        {
            Skip(start - hostAddress);
            var got = large ? ReadStaged(start, target + done, present) : ReadHost(start, target + done, present);
            NoteCopied(target + done, got, filled);
            done += got;
            failed = got < present;
            return !failed;
        });
        if (known is not true)
        {
            var got = ReadHost(hostAddress, target, length);
            NoteCopied(target, got, filled);
            return got;
        }
        if (!failed)
            Skip(length);
        return done;

        void Skip(ulong to)
        {
            if (to > done)
                Empty(target + done, to - done, filled);
            done = to;
        }
    }

    private void NoteCopied(byte* target, ulong length, FilledPages? filled)
    {
        Interlocked.Add(ref _copied, (long)length);
        filled?.Fill(target, length);
    }

    private static void Empty(byte* target, ulong length, FilledPages? filled)
    {
        if (filled is null)
            new Span<byte>(target, (int)length).Clear();
        else
            filled.Empty(target, length);
    }

    /// <summary>As <see cref="ReadHost"/>, by way of a buffer that stays in the cache.</summary>
    private ulong ReadStaged(ulong hostAddress, byte* target, ulong length)
    {
        if (_stage?.Take() is not { } stage)
            return ReadHost(hostAddress, target, length);
        var done = 0UL;
        while (done < length)
        {
            var step = Math.Min(CopyStage.Size, length - done);
            var got = ReadHost(hostAddress + done, stage.Start, step);
            WideCopy.Copy(target + done, stage.Start, got);
            done += got;
            if (got < step)
                break;
        }
        _stage.GiveBack(stage);
        return done;
    }

    private ulong ReadHost(ulong hostAddress, byte* target, ulong length)
    {
        nint got;
        if (_memoryFile is not null)
        {
            got = LinuxNative.ReadAt(_memoryFile.Number, target, (nuint)length, (long)hostAddress);
        }
        else
        {
            var local = new LinuxNative.IoVector { Base = (ulong)target, Length = length };
            var remote = new LinuxNative.IoVector { Base = hostAddress, Length = length };
            got = LinuxNative.ProcessReadVectors(_process.Id, &local, 1, &remote, 1, 0);
        }
        if (got < 0)
            NoteEnd();
        return got < 0 ? 0 : (ulong)got;
    }

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        if (_memoryFile is not null)
            return base.ReadPages(pages, destination, states);
        // A local vector of one piece a page: pages outside RAM are left out of the batch, so that a hole does not end it.
        Span<int> indexes = stackalloc int[LinuxNative.MaxVectors];
        var remote = stackalloc LinuxNative.IoVector[LinuxNative.MaxVectors];
        var local = stackalloc LinuxNative.IoVector[LinuxNative.MaxVectors];
        var readable = 0;
        fixed (byte* target = destination)
        {
            for (var next = 0; next < pages.Length;)
            {
                var count = 0;
                for (; next < pages.Length && count < LinuxNative.MaxVectors; next++)
                {
                    var page = pages[next].PageStart;
                    if (Find(page) is not { } section)
                    {
                        states[next] = NoRam(page);
                        destination.Slice(next * Page.Size, Page.Size).Clear();
                        continue;
                    }
                    if (_backends.Read(section, page - section.Start, target + (long)next * Page.Size, Page.Size))
                    {
                        states[next] = PageState.Present;
                        readable++;
                        continue;
                    }
                    indexes[count] = next;
                    remote[count] = new LinuxNative.IoVector { Base = section.HostAddress + (page - section.Start), Length = Page.Size };
                    local[count] = new LinuxNative.IoVector { Base = (ulong)(target + (long)next * Page.Size), Length = Page.Size };
                    count++;
                }
                readable += ReadBatch(local, remote, indexes[..count], destination, states);
            }
        }
        if (!IsGone())
            return readable;
        destination[..(pages.Length * Page.Size)].Clear();
        states[..pages.Length].Clear();
        return 0;
    }

    private int ReadBatch(LinuxNative.IoVector* local, LinuxNative.IoVector* remote, ReadOnlySpan<int> indexes, Span<byte> destination, Span<PageState> states)
    {
        var readable = 0;
        for (var at = 0; at < indexes.Length;)
        {
            var got = LinuxNative.ProcessReadVectors(_process.Id, local + at, (nuint)(indexes.Length - at), remote + at, (nuint)(indexes.Length - at), 0);
            if (got < 0)
                NoteEnd();
            var whole = got < 0 ? 0 : (int)(got / Page.Size);
            foreach (var index in indexes.Slice(at, whole))
                states[index] = PageState.Present;
            readable += whole;
            at += whole;
            if (at >= indexes.Length)
                break;
            // The page that ended the batch is not readable; the ones behind it may be.
            states[indexes[at]] = PageState.Missing;
            destination.Slice(indexes[at] * Page.Size, Page.Size).Clear();
            at++;
        }
        return readable;
    }

    /// <summary>The shared backend's pages without a copy. Pages that the guest never touched have none: then <see cref="Read"/>.</summary>
    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) =>
        maxLength > 0 && Find(address) is { } section ? _backends.Map(section, address - section.Start, maxLength) : default;

    private RamSection? Find(PhysicalAddress address)
    {
        var at = Array.BinarySearch(_starts, address.Value);
        if (at < 0)
            at = ~at - 1;
        return at >= 0 && address < _map.Sections[at].End ? _map.Sections[at] : null;
    }

    /// <summary>A process loses its memory a moment before it has ended.</summary>
    private void NoteEnd()
    {
        if (Marshal.GetLastPInvokeError() == LinuxNative.ESRCH)
            Volatile.Write(ref _ended, 1);
    }

    /// <summary>True when QEMU has ended: what a number of a dead process gave may be another's memory.</summary>
    internal bool IsGone()
    {
        // Asking the kernel costs as much as a small read: once a tick is enough, a number is not given to another process that soon.
        var now = Environment.TickCount64;
        if (Volatile.Read(ref _ended) == 0 && now != Interlocked.Exchange(ref _asked, now) && _process.HasEnded)
            Volatile.Write(ref _ended, 1);
        return Volatile.Read(ref _ended) != 0;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _backends.Dispose();
            _absent?.Dispose();
            _stage?.Dispose();
            _memoryFile?.Dispose();
        }
        base.Dispose(disposing);
    }
}
