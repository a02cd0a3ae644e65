using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// Writes kdump-compressed files as QEMU does, version 6, each page packed alone: plain where the output can seek, flattened where it can't. docs/formats/kdump.md.
/// </summary>
/// <remarks>
/// Pages without bytes exist and are not dumped, which readers call excluded. A page that is only found to be unreadable on the way is left out the same way: bitmaps are written last.
/// </remarks>
public sealed class KdumpWriter : IImageWriter
{
    private readonly KdumpCodec _codec;

    private KdumpWriter(string name, KdumpCodec codec, IReadOnlyList<string> extensions)
    {
        Name = name;
        _codec = codec;
        Extensions = extensions;
    }

    public static KdumpWriter WithZlib { get; } = new("kdump-zlib", KdumpCodec.Zlib, [".kdump"]);

    /// <summary>Read by makedumpfile 1.7.1, crash 8.0 and libkdumpfile 0.5.1 and later.</summary>
    public static KdumpWriter WithZstd { get; } = new("kdump-zstd", KdumpCodec.Zstd, []);

    public string Name { get; }

    public IReadOnlyList<string> Extensions { get; }

    public ImageWriteResult Write(View view, Stream output, ImageWriteOptions options, IProgress<ImageWriteProgress>? progress, CancellationToken cancellation)
    {
        KdumpPage.Require(_codec);
        return new Work(view, MemorySurvey.Of(view.Memory, cancellation), _codec, output, progress).Run(options.Threads > 0 ? options.Threads : Environment.ProcessorCount, cancellation);
    }

    /// <summary>One file being written.</summary>
    private sealed class Work
    {
        private const ulong RunLimit = 256UL << 20;
        private const ulong ProgressStep = 16UL << 20;

        /// <summary>Parts that wait behind a batch: bounded, where memory is a patchwork of zeros.</summary>
        private const int MostWaiting = 1024;

        private const int DescriptorBuffer = 4096 * KdumpPage.DescriptorSize;

        private readonly View _view;
        private readonly KdumpCodec _codec;
        private readonly KdumpOutput _output;
        private readonly IProgress<ImageWriteProgress>? _progress;
        private readonly FrameBitmap _exists;
        private readonly FrameBitmap _dumped;
        private readonly byte[] _notes;
        private readonly ulong _readable;
        private readonly ulong _bitmapBytes;
        private readonly ulong _subHeaderBlocks;
        private readonly byte[] _descriptors = new byte[DescriptorBuffer];
        private readonly List<PhysicalRange> _missing = [];
        private readonly List<string> _lost = [];
        private readonly List<PhysicalRange> _failed = [];
        private int _buffered;
        private ulong _descriptorAt;
        private ulong _dataAt;
        private ulong _zeroAt;
        private ulong _pages;
        private ulong _zeros;
        private ulong _done;
        private ulong _reported;

        public Work(View view, MemorySurvey survey, KdumpCodec codec, Stream output, IProgress<ImageWriteProgress>? progress)
        {
            _view = view;
            _codec = codec;
            _output = new KdumpOutput(output);
            _progress = progress;
            _readable = survey.Readable >> Page.Shift;
            _notes = Notes(view, survey);
            var frames = (view.Memory.End.Value + Page.OffsetMask) >> Page.Shift;
            _exists = new FrameBitmap(frames);
            _dumped = new FrameBitmap(frames);
            _subHeaderBlocks = Blocks((ulong)(KdumpLayout.Bits64.SubHeaderSize + _notes.Length));
            _bitmapBytes = Math.Max(Blocks((frames + 7) / 8), 1) * Page.Size;
        }

        private ulong BitmapAt => (KdumpLayout.HeaderBlocks + _subHeaderBlocks) * Page.Size;

        public ImageWriteResult Run(int threads, CancellationToken cancellation)
        {
            _output.Write(0, Header());
            _output.Write(KdumpLayout.HeaderBlocks * Page.Size, SubHeader());
            _descriptorAt = BitmapAt + (2 * _bitmapBytes);
            _zeroAt = _descriptorAt + (_readable * KdumpPage.DescriptorSize);
            _output.Write(_zeroAt, new byte[Page.Size]);
            _dataAt = _zeroAt + Page.Size;
            WritePages(threads, cancellation);
            FlushDescriptors();
            WriteBitmap(_exists, BitmapAt);
            WriteBitmap(_dumped, BitmapAt + _bitmapBytes);
            _output.Finish();
            _progress?.Report(new ImageWriteProgress(_view.Memory.Size, _view.Memory.Size));
            return new ImageWriteResult(_output.Bytes, _pages, _zeros, _missing, Lost());
        }

        /// <summary>Packs on many threads, writes on this one, in the order of addresses.</summary>
        private void WritePages(int threads, CancellationToken cancellation)
        {
            // Two a thread: while the oldest is waited for and written, the others go on.
            var most = threads == 1 ? 1 : 2 * threads;
            var under = new Queue<(PageRun Run, Task<KdumpBatch>? Task)>();
            var idle = new Stack<KdumpBatch>();
            var packing = 0;
            try
            {
                foreach (var part in Parts(cancellation))
                {
                    while (packing == most || under.Count > MostWaiting)
                        packing -= Finish(under, idle);
                    if (part.State != PageState.Present)
                    {
                        under.Enqueue((part, null));
                        continue;
                    }
                    var batch = idle.TryPop(out var free) ? free : new KdumpBatch(_codec);
                    packing++;
                    under.Enqueue((part, Task.Run(() =>
                    {
                        batch.Fill(_view.Memory, part.Range);
                        return batch;
                    }, CancellationToken.None)));
                }
                while (under.Count != 0)
                    Finish(under, idle);
            }
            finally
            {
                // After an error some still read: the view may be disposed once we are gone.
                foreach (var (_, task) in under)
                    ((IAsyncResult?)task)?.AsyncWaitHandle.WaitOne();
            }
        }

        /// <summary>Memory in parts: a batch to pack, a long run of zeros, or a run without bytes. Short runs of zeros are packed with their neighbours.</summary>
        private IEnumerable<PageRun> Parts(CancellationToken cancellation)
        {
            const ulong Most = KdumpBatch.MostPages * Page.Size;
            var open = default(PhysicalRange);
            foreach (var run in Runs(cancellation))
            {
                _exists.Set(run.Range.Start.Frame, run.Range.End.Frame);
                var joins = run.State == PageState.Present || (run.State == PageState.Zero && run.Range.Length < Most);
                if (open.Length != 0 && (!joins || open.End != run.Range.Start))
                {
                    yield return new PageRun(open, PageState.Present);
                    open = default;
                }
                if (!joins)
                {
                    yield return run;
                    continue;
                }
                open = open.Length == 0 ? run.Range : new PhysicalRange(open.Start, open.Length + run.Range.Length);
                for (; open.Length >= Most; open = new PhysicalRange(open.Start + Most, open.Length - Most))
                    yield return new PageRun(new PhysicalRange(open.Start, Most), PageState.Present);
            }
            if (open.Length != 0)
                yield return new PageRun(open, PageState.Present);
        }

        /// <summary>Writes the oldest part. Returns how many batches that took: one or none.</summary>
        private int Finish(Queue<(PageRun Run, Task<KdumpBatch>? Task)> under, Stack<KdumpBatch> idle)
        {
            var (run, task) = under.Peek();
            var batch = task?.GetAwaiter().GetResult();
            under.Dequeue();
            if (batch is not null)
            {
                Write(batch);
                idle.Push(batch);
            }
            else if (run.State == PageState.Zero)
            {
                for (var frame = run.Range.Start.Frame; frame < run.Range.End.Frame; frame++)
                    AddZero(frame);
            }
            else
            {
                LeaveOut(run.Range);
            }
            Report(run.Range.Length);
            return batch is null ? 0 : 1;
        }

        private void Write(KdumpBatch batch)
        {
            var frame = batch.Range.Start.Frame;
            foreach (var page in batch.Pages)
            {
                if (page == KdumpBatch.Unreadable)
                    LeaveOut(new PhysicalRange(PhysicalAddress.FromFrame(frame), Page.Size), onTheWay: true);
                else if (page == KdumpBatch.Zero)
                    AddZero(frame);
                else
                    Add(frame, page with { Offset = _dataAt + page.Offset });
                frame++;
            }
            _output.Write(_dataAt, batch.Packed);
            _dataAt += (ulong)batch.Packed.Length;
        }

        private void Report(ulong length)
        {
            _done += length;
            if (_progress is null || _done - _reported < ProgressStep)
                return;
            _reported = _done;
            _progress.Report(new ImageWriteProgress(_done, _view.Memory.Size));
        }

        private void LeaveOut(PhysicalRange range, bool onTheWay = false)
        {
            if (onTheWay)
                _failed.Add(range);
            if (_missing.Count != 0 && _missing[^1].End == range.Start)
                _missing[^1] = new PhysicalRange(_missing[^1].Start, _missing[^1].Length + range.Length);
            else
                _missing.Add(range);
        }

        private void AddZero(ulong frame)
        {
            _zeros++;
            Add(frame, new KdumpPage(_zeroAt, Page.Size, KdumpCodec.None));
        }

        private void Add(ulong frame, KdumpPage page)
        {
            _pages++;
            _dumped.Set(frame);
            page.Write(_descriptors.AsSpan(_buffered, KdumpPage.DescriptorSize));
            _buffered += KdumpPage.DescriptorSize;
            if (_buffered == _descriptors.Length)
                FlushDescriptors();
        }

        private void FlushDescriptors()
        {
            _output.Write(_descriptorAt, _descriptors.AsSpan(0, _buffered));
            _descriptorAt += (ulong)_buffered;
            _buffered = 0;
        }

        private IEnumerable<PageRun> Runs(CancellationToken cancellation)
        {
            foreach (var range in _view.Memory.Ranges)
            {
                for (var at = range.Start; at < range.End;)
                {
                    cancellation.ThrowIfCancellationRequested();
                    var run = _view.Memory.RunAt(at, Math.Min(range.End - at, RunLimit));
                    var end = run.Range.End < range.End ? run.Range.End : range.End;
                    yield return run with { Range = new PhysicalRange(at, end - at) };
                    at = end;
                }
            }
        }

        private byte[] Header()
        {
            var layout = KdumpLayout.Bits64;
            var header = new byte[Page.Size];
            KdumpLayout.Signature.CopyTo(header);
            U32(header, KdumpLayout.VersionAt, KdumpLayout.NewestVersion);
            "x86_64"u8.CopyTo(header.AsSpan(KdumpLayout.MachineAt));
            U64(header, layout.TimeAt, (ulong)Math.Max(_view.Origin.TakenAt?.ToUnixTimeSeconds() ?? 0, 0));
            U32(header, layout.StatusAt, (uint)_codec);
            U32(header, layout.BlockSizeAt, Page.Size);
            U32(header, layout.SubHeaderBlocksAt, (uint)_subHeaderBlocks);
            U32(header, layout.BitmapBlocksAt, (uint)(2 * _bitmapBytes / Page.Size));
            U32(header, layout.MaxFramesAt, (uint)Math.Min(_exists.Frames, uint.MaxValue));
            U32(header, layout.CpusAt, (uint)_view.Cpus.Count);
            return header;
        }

        private byte[] SubHeader()
        {
            var layout = KdumpLayout.Bits64;
            var sub = new byte[_subHeaderBlocks * Page.Size];
            U32(sub, layout.DumpLevelAt, KdumpLayout.DumpLevelZero);
            if (_notes.Length != 0)
            {
                U64(sub, layout.NotesAt, (ulong)(Page.Size + layout.SubHeaderSize));
                U64(sub, layout.NotesAt + sizeof(ulong), (ulong)_notes.Length);
                _notes.CopyTo(sub, layout.SubHeaderSize);
            }
            U64(sub, layout.MaxFrames64At, _exists.Frames);
            return sub;
        }

        private void WriteBitmap(FrameBitmap bitmap, ulong at)
        {
            const int Part = 1 << 20;
            var bits = MemoryMarshal.AsBytes(bitmap.Words.AsSpan());
            var padded = new byte[Page.Size];
            for (ulong done = 0; done < _bitmapBytes;)
            {
                var part = bits[(int)Math.Min(done, (ulong)bits.Length)..];
                // The last block is filled up.
                part = part[..Math.Min(part.Length, Part)];
                if (part.Length >= Page.Size)
                {
                    part = part[..(part.Length & ~(int)Page.OffsetMask)];
                    _output.Write(at + done, part);
                    done += (ulong)part.Length;
                    continue;
                }
                padded.AsSpan().Clear();
                part.CopyTo(padded);
                _output.Write(at + done, padded);
                done += Page.Size;
            }
        }

        private byte[] Notes(View view, MemorySurvey survey)
        {
            var notes = new ElfNoteWriter();
            CpuNotes.AddTo(notes, view.Cpus);
            OriginNote.Of(view).AddTo(notes);
            _lost.AddRange(CpuNotes.Lost(view.Cpus));
            var gaps = survey.Unreadable.Take(GapsNote.MaxGaps + 1).ToArray();
            if (gaps.Length > GapsNote.MaxGaps)
                _lost.Add($"why pages have no bytes: those in more than {GapsNote.MaxGaps} gaps are all excluded in the dump");
            else if (gaps.Length != 0)
                GapsNote.Add(notes, gaps);
            return notes.Written.ToArray();
        }

        private List<string> Lost()
        {
            if (_missing.Count != 0)
                _lost.Add($"bytes of pages that the source has none for: they are excluded in the dump, and only this program's own notes say why ({ImageWriteText.Ranges(_missing)})");
            if (_failed.Count != 0)
                _lost.Add($"pages that could not be read when their turn came are excluded in the dump, at {ImageWriteText.Ranges(_failed)}");
            if (_view.Origin.Blocks.Count != 0)
                _lost.Add("names of RAM blocks");
            if (_view.Origin.DomainXml is not null)
                _lost.Add("libvirt's description of the domain");
            return _lost;
        }

        private static ulong Blocks(ulong bytes) => (bytes + Page.OffsetMask) >> Page.Shift;

        private static void U32(byte[] into, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(into.AsSpan(at), value);

        private static void U64(byte[] into, int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(into.AsSpan(at), value);
    }
}
