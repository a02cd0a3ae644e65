using System.Numerics;

namespace Forengate.Memory;

/// <summary>
/// What a kdump says of every page, in a few bits a page: whether it exists, is dumped, is the one page of zeros that many share, or has a descriptor that can't be true. Made in one pass over
/// bitmaps and descriptors, on all cores; descriptors themselves stay in the file.
/// </summary>
internal sealed class KdumpIndex
{
    /// <summary>Frames that one thread looks at a time; whole words of the bitmaps, so that threads never share one.</summary>
    private const ulong Part = 1 << 16;

    private const int Bitmaps = 4;
    private readonly ulong _descriptors;

    private KdumpIndex(KdumpBytes bytes, KdumpHeader header, ulong frames)
    {
        Bytes = bytes;
        _descriptors = header.DescriptorsOffset;
        Exists = new FrameBitmap(frames);
        Dumped = new FrameBitmap(frames);
        Zero = new FrameBitmap(frames);
        Bad = new FrameBitmap(frames);
    }

    public KdumpBytes Bytes { get; }

    /// <summary>Pages that the guest has.</summary>
    public FrameBitmap Exists { get; }

    /// <summary>Pages that have a descriptor in this file.</summary>
    public FrameBitmap Dumped { get; }

    /// <summary>Of <see cref="Dumped"/>, those that share the page of zeros.</summary>
    public FrameBitmap Zero { get; }

    /// <summary>Pages that should be there and can't be read: descriptor or data are missing, make no sense, or are in another file of a split dump.</summary>
    public FrameBitmap Bad { get; }

    /// <summary>Every codec that some page is packed with.</summary>
    public KdumpCodec Codecs { get; private set; }

    /// <summary>Of <see cref="Bad"/>, those whose page is left to another file.</summary>
    public ulong Elsewhere { get; private set; }

    /// <summary>Of <see cref="Bad"/>, those whose descriptor or data are cut off or nonsense.</summary>
    public ulong Damaged { get; private set; }

    /// <summary>The descriptor of a page of <see cref="Dumped"/>; false where it is cut off.</summary>
    public bool TryFind(ulong frame, out KdumpPage page)
    {
        Span<byte> scratch = stackalloc byte[KdumpPage.DescriptorSize];
        var descriptor = Bytes.Take(_descriptors + (Dumped.Rank(frame) * KdumpPage.DescriptorSize), KdumpPage.DescriptorSize, scratch);
        page = descriptor.IsEmpty ? default : KdumpPage.Parse(descriptor);
        return !descriptor.IsEmpty;
    }

    /// <summary>Marks a page whose data turned out to be damaged. Threads may do so at any time.</summary>
    public void Spoil(ulong frame) => Interlocked.Or(ref Bad.Words[frame / FrameBitmap.BitsPerWord], 1UL << (int)(frame % FrameBitmap.BitsPerWord));

    /// <summary>Reads bitmaps and descriptors.</summary>
    /// <exception cref="ImageFormatException">The index would be larger than the limit.</exception>
    public static KdumpIndex Read(KdumpBytes bytes, KdumpHeader header, ImageOpenOptions options, List<string> damage, CancellationToken cancellation)
    {
        var path = bytes.File.Path;
        // One bitmap alone says what is dumped; two, each half as long, also what there was (makedumpfile calls the first "exists"). A bit costs the file one, so its size bounds the index.
        var hasTwo = header.MaxFrames <= header.BitmapBytes * 8 / 2;
        var bitmapBytes = hasTwo ? header.BitmapBytes / 2 : header.BitmapBytes;
        var frames = Math.Min(header.MaxFrames, Math.Min(bitmapBytes, (ulong)bytes.File.Length) * 8);
        if (frames > options.Limits.AddressSpace >> Page.Shift)
            throw new ImageFormatException($"'{path}' is a kdump of {frames} pages, which is beyond any guest");
        if (frames / 8 * Bitmaps > (ulong)options.Limits.IndexBytes)
            throw new ImageFormatException($"'{path}' is a kdump of {frames} pages, whose index would take {frames / 8 * Bitmaps} bytes; the limit is {options.Limits.IndexBytes}");
        if (bitmapBytes * 8 < header.MaxFrames)
            damage.Add($"the bitmaps have no room for the {header.MaxFrames} pages that the header claims: only the first {frames} were looked at");

        var index = new KdumpIndex(bytes, header, frames);
        var whole = (ulong)bytes.File.Length >= bitmapBytes;
        whole &= index.Dumped.Load(bytes, header.BitmapOffset + (hasTwo ? bitmapBytes : 0));
        if (hasTwo)
            whole &= index.Exists.Load(bytes, header.BitmapOffset);
        if (!whole)
            damage.Add("the file is cut off within its bitmaps: memory that they do not name any more is not known to exist");
        index.SetApartOtherFiles(header);
        index.Dumped.CountBits();
        index.ReadDescriptors(options, cancellation);
        return index;
    }

    /// <summary>A dump split over several files has all bits in each, and the descriptors of its own frames.</summary>
    private void SetApartOtherFiles(KdumpHeader header)
    {
        for (var i = 0; i < Exists.Words.Length; i++)
            Exists.Words[i] |= Dumped.Words[i];
        if (!header.IsSplit)
            return;
        Dumped.Words.CopyTo(Bad.Words.AsSpan());
        Bad.Clear(header.StartFrame, header.EndFrame);
        for (var i = 0; i < Dumped.Words.Length; i++)
            Dumped.Words[i] &= ~Bad.Words[i];
        Bad.CountBits();
        Elsewhere = Bad.Count;
    }

    private void ReadDescriptors(ImageOpenOptions options, CancellationToken cancellation)
    {
        var zeros = ZeroPageOffset();
        var parts = (long)((Dumped.Frames + Part - 1) / Part);
        var gathered = new Lock();
        var done = 0L;
        Parallel.For(0, parts, new ParallelOptions { CancellationToken = cancellation }, part =>
        {
            var (codecs, bad) = ReadPart((ulong)part * Part, zeros);
            lock (gathered)
            {
                Codecs |= codecs;
                Damaged += bad;
                options.Progress?.Report(new ImageOpenProgress("indexing", ++done * Bytes.File.Length / parts, Bytes.File.Length));
            }
        });
    }

    private (KdumpCodec Codecs, ulong Bad) ReadPart(ulong firstFrame, ulong zeros)
    {
        var codecs = KdumpCodec.None;
        var badPages = 0UL;
        var reader = new DescriptorReader(Bytes, _descriptors + (Dumped.Rank(firstFrame) * KdumpPage.DescriptorSize));
        Span<byte> scratch = stackalloc byte[KdumpPage.DescriptorSize];
        var (first, end) = ((int)(firstFrame / FrameBitmap.BitsPerWord), (int)(Math.Min(firstFrame + Part, Dumped.Frames + FrameBitmap.BitsPerWord - 1) / FrameBitmap.BitsPerWord));
        for (var word = first; word < end; word++)
        {
            ulong zero = 0, bad = 0;
            for (var bits = Dumped.Words[word]; bits != 0; bits &= bits - 1)
            {
                var bit = bits & (0 - bits);
                if (!reader.TryNext(scratch, out var page) || !page.IsSane || !Bytes.Holds(page.Offset, page.Size))
                    bad |= bit;
                else if (page.Offset == zeros && page.IsPlain)
                    zero |= bit;
                else
                    codecs |= page.Codec;
            }
            Zero.Words[word] = zero;
            Bad.Words[word] |= bad;
            badPages += (ulong)BitOperations.PopCount(bad);
        }
        return (codecs, badPages);
    }

    /// <summary>
    /// QEMU, makedumpfile and we ourselves store zeros once, as the first page behind the descriptors, and let every page of zeros point there. The highest offset where there is none.
    /// </summary>
    private ulong ZeroPageOffset()
    {
        var offset = _descriptors + (Dumped.Count * KdumpPage.DescriptorSize);
        var page = Bytes.Take(offset, Page.Size, new byte[Page.Size]);
        return !page.IsEmpty && ZeroPages.IsZero(page) ? offset : ulong.MaxValue;
    }

    /// <summary>Descriptors one after the other, with few looks into the index of a flattened file.</summary>
    private ref struct DescriptorReader(KdumpBytes bytes, ulong offset)
    {
        private const int Window = 1 << 20;

        private ReadOnlySpan<byte> _window;
        private ulong _offset = offset;

        public bool TryNext(scoped Span<byte> scratch, out KdumpPage page)
        {
            if (_window.Length < KdumpPage.DescriptorSize)
                _window = bytes.Span(_offset, Window);
            var at = _offset;
            _offset += KdumpPage.DescriptorSize;
            if (_window.Length >= KdumpPage.DescriptorSize)
            {
                page = KdumpPage.Parse(_window);
                _window = _window[KdumpPage.DescriptorSize..];
                return true;
            }
            _window = default;
            var isThere = bytes.TryCopy(at, scratch);
            page = isThere ? KdumpPage.Parse(scratch) : default;
            return isThere;
        }
    }
}
