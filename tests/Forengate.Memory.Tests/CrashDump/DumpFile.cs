using System.Buffers.Binary;

namespace Forengate.Memory.Tests;

/// <summary>
/// Lays out small crash dumps of every type, byte by byte: the layouts are spelled out here a second time, so that reader and builder cannot be wrong in the same constant.
/// Each stored page begins with its frame number and is filled with its lowest byte.
/// </summary>
internal static class DumpFile
{
    public const int Header64 = 0x2000, Header32 = 0x1000;

    public static ulong FrameOf(ReadOnlySpan<byte> page) => BinaryPrimitives.ReadUInt64LittleEndian(page);

    /// <summary>A header that is filler but for its signature, its type and, where runs are given, the physical memory block.</summary>
    public static byte[] Header(bool is64, uint type, uint attributes = 0, params (ulong Frame, ulong Pages)[] runs)
    {
        var header = new byte[is64 ? Header64 : Header32];
        for (var i = 0; i < header.Length; i++)
            header[i] = "PAGE"u8[i & 3];
        (is64 ? "DU64"u8 : "DUMP"u8).CopyTo(header.AsSpan(4));
        Put32(header, is64 ? 0x30 : 0x20, is64 ? 0x8664u : 0x14Cu);
        Put32(header, is64 ? 0xF98 : 0xF88, type);
        Put32(header, is64 ? 0x1050 : 0x8A0, attributes);
        if (!is64)
            header[0x5C] = 1;
        if (runs.Length == 0)
            return header;
        Put32(header, is64 ? 0x88 : 0x64, (uint)runs.Length);
        Number(header, is64, is64 ? 0x90 : 0x68, runs.Aggregate(0UL, (sum, run) => sum + run.Pages));
        for (var i = 0; i < runs.Length; i++)
        {
            var at = is64 ? 0x98 + (16 * i) : 0x6C + (8 * i);
            Number(header, is64, at, runs[i].Frame);
            Number(header, is64, at + (is64 ? 8 : 4), runs[i].Pages);
        }
        return header;
    }

    /// <summary>Types 5, 6 and 2: header, counts, bitmap, pages.</summary>
    /// <param name="header">From <see cref="Header"/>.</param>
    /// <param name="signature">SDMP or FDMP.</param>
    /// <param name="bits">Bits of the bitmap.</param>
    /// <param name="frames">Stored pages, ascending.</param>
    /// <param name="isSummary">Type 2's shorter counts.</param>
    /// <param name="content">What a page holds instead of its number.</param>
    public static byte[] Bitmap(byte[] header, ReadOnlySpan<byte> signature, int bits, ulong[] frames, bool isSummary = false, Func<ulong, byte[]>? content = null)
    {
        var bitmapAt = header.Length + (!isSummary ? 0x38 : header.Length == Header64 ? 0x28 : 0x20);
        var first = (bitmapAt + ((bits + 7) / 8) + 0xFFF) & ~0xFFF;
        var file = new byte[first + (frames.Length * 0x1000)];
        header.CopyTo(file, 0);
        var at = header.Length;
        signature.CopyTo(file.AsSpan(at));
        "DUMP"u8.CopyTo(file.AsSpan(at + 4));
        if (isSummary)
        {
            Put32(file, at + 0x0C, (uint)first);
            Put32(file, at + 0x10, (uint)bits);
            Put32(file, at + 0x14, (uint)frames.Length);
            Put32(file, at + 0x18, (uint)bits);
        }
        else
        {
            Put64(file, at + 0x20, (ulong)first);
            Put64(file, at + 0x28, (ulong)frames.Length);
            Put64(file, at + 0x30, (ulong)bits);
        }
        for (var i = 0; i < frames.Length; i++)
        {
            file[bitmapAt + (int)(frames[i] / 8)] |= (byte)(1 << (int)(frames[i] % 8));
            Fill(file.AsSpan(first + (i * 0x1000), 0x1000), frames[i]);
            content?.Invoke(frames[i]).CopyTo(file, first + (i * 0x1000));
        }
        return file;
    }

    /// <summary>Types 8, 9 and 0xA: header, descriptor with ranges, pages.</summary>
    public static byte[] Ranges(byte[] header, params (ulong Frame, ulong Pages)[] ranges)
    {
        var pages = ranges.Aggregate(0UL, (sum, range) => sum + range.Pages);
        var first = header.Length + 0x30 + (16 * ranges.Length);
        var file = new byte[first + ((int)pages * 0x1000)];
        header.CopyTo(file, 0);
        var at = header.Length;
        Put32(file, at, 0x40);
        "RDMPDUMP"u8.CopyTo(file.AsSpan(at + 4));
        Put64(file, at + 0x10, (ulong)(0x10 + (16 * ranges.Length)));
        Put64(file, at + 0x18, (ulong)first);
        Put64(file, at + 0x20, (ulong)ranges.Length);
        Put64(file, at + 0x28, pages);
        var page = 0;
        for (var i = 0; i < ranges.Length; i++)
        {
            Put64(file, at + 0x30 + (16 * i), ranges[i].Frame);
            Put64(file, at + 0x38 + (16 * i), ranges[i].Pages);
            for (var k = 0UL; k < ranges[i].Pages; k++)
                Fill(file.AsSpan(first + (page++ * 0x1000), 0x1000), ranges[i].Frame + k);
        }
        return file;
    }

    /// <summary>Type 1: header and the pages of its runs.</summary>
    public static byte[] Complete(byte[] header, params (ulong Frame, ulong Pages)[] runs)
    {
        var frames = runs.SelectMany(run => Enumerable.Range(0, (int)run.Pages).Select(i => run.Frame + (ulong)i)).ToArray();
        var file = new byte[header.Length + (frames.Length * 0x1000)];
        header.CopyTo(file, 0);
        for (var i = 0; i < frames.Length; i++)
            Fill(file.AsSpan(header.Length + (i * 0x1000), 0x1000), frames[i]);
        return file;
    }

    private static void Fill(Span<byte> page, ulong frame)
    {
        page.Fill((byte)frame);
        BinaryPrimitives.WriteUInt64LittleEndian(page, frame);
    }

    private static void Number(byte[] header, bool is64, int at, ulong value)
    {
        if (is64)
            Put64(header, at, value);
        else
            Put32(header, at, (uint)value);
    }

    private static void Put32(byte[] file, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), value);

    private static void Put64(byte[] file, int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(at), value);
}
