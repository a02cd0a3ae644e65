namespace Forengate.Memory;

/// <summary>
/// RAM that lies at fixed places of the file, outside the stream (QEMU 9.0, capability mapped-ram; libvirt's sparse): a bitmap for each block says which pages were written, the
/// others are zero. docs/formats/mapped-ram.md has the layout.
/// </summary>
internal static class MappedRam
{
    private const int WordsOfChunk = PageIndex.ChunkPages / 64;
    private const long ChunksBetweenChecks = 1 << 12;

    /// <summary>Fills the index of each block that has a header of this kind.</summary>
    public static void Index(MappedFile file, MigrationStream stream, CancellationToken cancellation)
    {
        foreach (var block in stream.Blocks)
        {
            // Memory that stays where it is (x-ignore-shared) has neither pages nor bitmap.
            if (block.MappedRam is { BitmapOffset: not 0 } header)
                Index(file, stream, block, header, cancellation);
            else if (block.MappedRam is not null)
                Leave(block, cancellation);
        }
    }

    private static void Index(MappedFile file, MigrationStream stream, MigrationBlock block, in MappedRamHeader header, CancellationToken cancellation)
    {
        // QEMU writes the bitmaps last, and blocks without a single page have none that is set: only where RAM never ended, an empty bitmap says nothing.
        var isWritten = stream.RamEnded || HasSetBit(file, block, header, cancellation);
        if (!isWritten)
            stream.Damage.Add($"the bitmap of RAM block '{block.Name}' was never written: QEMU had not finished; pages that lie in the file are taken, the others are missing");
        var lost = 0UL;
        for (ulong chunk = 0; chunk < block.Index.Chunks; chunk++)
        {
            if (chunk % ChunksBetweenChecks == 0)
                cancellation.ThrowIfCancellationRequested();
            var first = chunk * PageIndex.ChunkPages;
            var count = (int)Math.Min(PageIndex.ChunkPages, block.Index.Pages - first);
            var offset = header.PagesOffset + (first << Page.Shift);
            var bits = isWritten ? file.Span((long)(header.BitmapOffset + (first / 8)), WordsOfChunk * sizeof(ulong)) : default;
            if (isWritten && bits.Length * 8 >= count && count == PageIndex.ChunkPages && IsAll(bits, 0))
                block.Index.SetChunk(chunk, PageEntry.Zero, 0);
            else if (isWritten && bits.Length * 8 >= count && count == PageIndex.ChunkPages && IsAll(bits, 0xFF) && file.Holds(offset, (ulong)count << Page.Shift))
                block.Index.SetChunk(chunk, PageEntry.Stored((long)offset), Page.Size);
            else
                lost += SetPages(file, block, bits, isWritten, first, count, offset);
        }
        block.Index.Seal();
        if (lost != 0)
            stream.Damage.Add($"0x{lost << Page.Shift:x} bytes of RAM block '{block.Name}' lie behind the end of the file, or their part of the bitmap does: the file is cut off");
    }

    /// <returns>Pages that should be in the file and are not.</returns>
    private static ulong SetPages(MappedFile file, MigrationBlock block, ReadOnlySpan<byte> bits, bool isWritten, ulong first, int count, ulong offset)
    {
        var lost = 0UL;
        for (var i = 0; i < count; i++, offset += Page.Size)
        {
            if (isWritten && i / 8 >= bits.Length)
                return lost + (ulong)(count - i);
            var isSet = isWritten ? (bits[i / 8] & (1 << (i % 8))) != 0 : IsInFile(file, offset);
            if (isSet && file.Holds(offset, Page.Size))
                block.Index.Set(first + (ulong)i, PageEntry.Stored((long)offset));
            else if (isSet)
                lost++;
            else if (isWritten)
                block.Index.Set(first + (ulong)i, PageEntry.Zero);
        }
        return lost;
    }

    /// <summary>A page that QEMU wrote is not all zero: it leaves those out.</summary>
    private static bool IsInFile(MappedFile file, ulong offset) =>
        file.Holds(offset, Page.Size) && file.Span((long)offset, Page.Size).ContainsAnyExcept((byte)0);

    private static bool HasSetBit(MappedFile file, MigrationBlock block, in MappedRamHeader header, CancellationToken cancellation)
    {
        const int Step = 1 << 20;
        var end = (long)(block.Index.Pages + 7) / 8;
        for (long at = 0; at < end; at += Step)
        {
            cancellation.ThrowIfCancellationRequested();
            var bits = file.Span((long)header.BitmapOffset + at, (int)Math.Min(Step, end - at));
            if (bits.ContainsAnyExcept((byte)0))
                return true;
            if (bits.IsEmpty)
                return false;
        }
        return false;
    }

    private static bool IsAll(ReadOnlySpan<byte> bits, byte value) => bits.Length == WordsOfChunk * sizeof(ulong) && !bits.ContainsAnyExcept(value);

    private static void Leave(MigrationBlock block, CancellationToken cancellation)
    {
        for (ulong chunk = 0; chunk < block.Index.Chunks; chunk++)
        {
            if (chunk % ChunksBetweenChecks == 0)
                cancellation.ThrowIfCancellationRequested();
            block.Index.SetChunk(chunk, PageEntry.LeftOut, 0);
        }
    }
}
