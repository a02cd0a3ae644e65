using System.Buffers.Binary;
using Forengate.Memory;
using B = Forengate.Memory.CrashDumpBitmapLayout;

namespace Forengate.Dumps;

/// <summary>What lies between the header and the pages of a bitmap dump, and which pages those are.</summary>
internal static class PageBitmap
{
    /// <summary>The bitmap of 32 TiB of address space, in bytes: more than any guest has, and it still is one piece of memory.</summary>
    private const ulong MaxBytes = 1UL << 30;

    /// <summary>The pages of these runs that the view has bytes for, known zeros among them.</summary>
    public static IReadOnlyList<CrashDumpRun> Readable(PhysicalMemory memory, IReadOnlyList<PhysicalRange> runs)
    {
        var readable = new List<CrashDumpRun>();
        foreach (var run in runs)
        {
            for (ulong frame = run.Start.Frame, end = run.Start.Frame + run.PageCount; frame < end;)
            {
                var piece = memory.RunAt(PhysicalAddress.FromFrame(frame), (end - frame) << Page.Shift);
                var pages = Math.Min(piece.Range.PageCount, end - frame);
                if (piece.IsReadable && readable.Count > 0 && readable[^1] is var last && last.BasePage + last.PageCount == frame)
                    readable[^1] = last with { PageCount = last.PageCount + pages };
                else if (piece.IsReadable)
                    readable.Add(new CrashDumpRun(frame, pages));
                frame += pages;
            }
        }
        return readable;
    }

    /// <summary>Counts and bitmap, filled up so that the first page lies on a page boundary of the file.</summary>
    /// <param name="headerSize">Bytes of the dump's header, which lies before.</param>
    /// <param name="runs">All memory; its end is the bitmap's.</param>
    /// <param name="stored">The pages that the dump has, ascending.</param>
    /// <exception cref="DumpWriteException">Memory reaches further than a bitmap is made for.</exception>
    public static byte[] Make(int headerSize, IReadOnlyList<CrashDumpRun> runs, IReadOnlyList<CrashDumpRun> stored)
    {
        var bits = runs.Count == 0 ? 0 : runs[^1].BasePage + runs[^1].PageCount;
        var size = (B.Bitmap + ((bits + 7) / 8) + Page.OffsetMask) & ~Page.OffsetMask;
        if (size > MaxBytes)
            throw new DumpWriteException($"memory reaches to 0x{bits << Page.Shift:x}, too far for a bitmap dump: write a full one");
        var bytes = new byte[size];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(B.Signature), B.FullSignature);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(B.ValidDump), B.ValidDumpValue);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(B.FirstPage), (ulong)headerSize + size);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(B.Pages), stored.Aggregate(0UL, (sum, run) => sum + run.PageCount));
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(B.BitmapBits), bits);
        foreach (var run in stored)
            Set(bytes.AsSpan(B.Bitmap), run.BasePage, run.PageCount);
        return bytes;
    }

    private static void Set(Span<byte> bitmap, ulong first, ulong count)
    {
        var (from, to) = (first, first + count);
        for (; from < to && from % 8 != 0; from++)
            bitmap[(int)(from / 8)] |= (byte)(1 << (int)(from % 8));
        var whole = (to - from) / 8;
        bitmap.Slice((int)(from / 8), (int)whole).Fill(0xFF);
        for (from += whole * 8; from < to; from++)
            bitmap[(int)(from / 8)] |= (byte)(1 << (int)(from % 8));
    }
}
