using System.Buffers.Binary;

namespace Forengate.Lab.Image;

/// <summary>Virtual memory as one page-table root shows it.</summary>
internal sealed class AddressSpace(PhysicalAllocator memory, PageTables tables, ulong root)
{
    /// <summary>Physical address of the PML4, without PCID.</summary>
    public ulong Root { get; } = root;

    public PageTables Tables => tables;
    public PhysicalAllocator Memory => memory;

    public ulong Translate(ulong va) =>
        tables.TryTranslate(Root, va, out var pa) ? pa : throw new InvalidOperationException($"0x{va:x} is not mapped");

    /// <exception cref="InvalidOperationException">Something else lies there already: two areas of the layout overlap.</exception>
    public void Map(ulong va, ulong pa, ulong flags)
    {
        if (tables.TryTranslate(Root, va, out var other) && (other & ~0xFFFUL) != pa)
            throw new InvalidOperationException($"0x{va:x} is mapped already");
        tables.Map(Root, va, pa, flags);
    }

    /// <summary>Maps a page of RAM of its own for each page from <paramref name="va"/> on.</summary>
    public void MapNew(ulong va, int pages, ulong flags)
    {
        for (var i = 0; i < pages; i++, va += GuestRam.PageSize)
            Map(va, memory.AllocatePage(), flags);
    }

    public void Write(ulong va, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            var length = Math.Min(bytes.Length, GuestRam.PageSize - (int)(va & 0xFFF));
            memory.Ram.Write(Translate(va), bytes[..length]);
            bytes = bytes[length..];
            va += (ulong)length;
        }
    }

    public void WriteU64(ulong va, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Write(va, bytes);
    }

    public void WriteU32(ulong va, uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        Write(va, bytes);
    }

    public void WriteU16(ulong va, ushort value) => Write(va, [(byte)value, (byte)(value >> 8)]);

    public void WriteU8(ulong va, byte value) => Write(va, [value]);

    public byte[] Read(ulong va, int length)
    {
        var bytes = new byte[length];
        for (var done = 0; done < length;)
        {
            var part = Math.Min(length - done, GuestRam.PageSize - (int)(va & 0xFFF));
            memory.Ram.Read(Translate(va), part).CopyTo(bytes.AsSpan(done));
            done += part;
            va += (ulong)part;
        }
        return bytes;
    }

    public ulong ReadU64(ulong va) => BinaryPrimitives.ReadUInt64LittleEndian(Read(va, 8));
}
