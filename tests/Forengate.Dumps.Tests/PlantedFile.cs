using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Dumps.Tests;

/// <summary>A dump file whose bytes a test changes for a moment, by file offset or by virtual address.</summary>
internal sealed class PlantedFile(string path)
{
    public byte[] Read(long offset, int length)
    {
        using var file = File.OpenRead(path);
        file.Seek(offset, SeekOrigin.Begin);
        var bytes = new byte[length];
        file.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>Runs with these bytes in place, then puts back what was there.</summary>
    public void With(long offset, byte[] bytes, Action run)
    {
        var before = Read(offset, bytes.Length);
        Write(offset, bytes);
        run();
        Write(offset, before);
    }

    public void WithVirtual(ulong dtb, ulong va, byte[] bytes, Action run)
    {
        var length = Math.Min(bytes.Length, Page.Size - (int)(va & Page.OffsetMask));
        With(FileOffset(Walk(dtb, va).Physical), bytes[..length], () =>
        {
            if (length < bytes.Length)
                WithVirtual(dtb, va + (ulong)length, bytes[length..], run);
            else
                run();
        });
    }

    public byte[] ReadVirtual(ulong dtb, ulong va, int length)
    {
        var here = Math.Min(length, Page.Size - (int)(va & Page.OffsetMask));
        var bytes = Read(FileOffset(Walk(dtb, va).Physical), here);
        return here == length ? bytes : [.. bytes, .. ReadVirtual(dtb, va + (ulong)here, length - here)];
    }

    /// <summary>Runs with the page's entry in its page table cleared.</summary>
    public void Unmapped(ulong dtb, ulong va, Action run) => With(FileOffset(Walk(dtb, va).Entry), new byte[8], run);

    /// <summary>Runs with the file's end cut off.</summary>
    public void Cut(int bytes, Action run)
    {
        var length = new FileInfo(path).Length;
        var tail = Read(length - bytes, bytes);
        using (var file = File.OpenWrite(path))
            file.SetLength(length - bytes);
        run();
        Write(length - bytes, tail);
    }

    private void Write(long offset, byte[] bytes)
    {
        using var file = File.OpenWrite(path);
        file.Seek(offset, SeekOrigin.Begin);
        file.Write(bytes);
    }

    private (ulong Physical, ulong Entry) Walk(ulong dtb, ulong va)
    {
        var table = dtb;
        for (var level = 4; ; level--)
        {
            var shift = 12 + (9 * (level - 1));
            var at = table + (((va >> shift) & 511) * 8);
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(Read(FileOffset(at), 8));
            Assert.True((entry & PageTableEntry.Present) != 0, $"0x{va:x} is not mapped");
            if (level == 1 || (entry & PageTableEntry.LargePage) != 0)
                return ((entry & PageTableEntry.AddressMask & ~((1UL << shift) - 1)) | (va & ((1UL << shift) - 1)), at);
            table = entry & PageTableEntry.AddressMask;
        }
    }

    private long FileOffset(ulong physical)
    {
        using var image = CrashDumpImage.Open(path);
        foreach (var run in image.Runs.Runs)
        {
            if (run.Run.Range.Contains(new PhysicalAddress(physical)))
                return (long)(run.FileOffset + (physical - run.Run.Range.Start.Value));
        }
        throw new InvalidOperationException($"0x{physical:x} is not in the dump");
    }
}
