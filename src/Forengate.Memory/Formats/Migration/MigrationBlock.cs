namespace Forengate.Memory;

/// <summary>A RAM block as a migration stream describes it.</summary>
internal sealed class MigrationBlock(string name, ulong length, PageIndex index)
{
    /// <summary>QEMU's name: <c>pc.ram</c>, <c>ram-node0</c>, <c>0000:00:02.0/vga.vram</c>.</summary>
    public string Name { get; } = name;

    /// <summary>Bytes in use, a multiple of the page size.</summary>
    public ulong Length { get; } = length;

    public PageIndex Index { get; } = index;

    /// <summary>Size of the host's pages under it, where the stream says so (huge pages with postcopy enabled).</summary>
    public ulong? HostPageSize { get; init; }

    /// <summary>Its offset in the memory region that holds it, where the stream says so (<c>x-ignore-shared</c>).</summary>
    public ulong? RegionOffset { get; init; }

    /// <summary>Where its pages lie in the file, outside the stream (mapped-ram).</summary>
    public MappedRamHeader? MappedRam { get; init; }

    /// <summary>What a page is that the stream has nothing for.</summary>
    public PageState Unsent { get; set; } = PageState.Missing;

    /// <summary>Pages the stream had for it, counting each version.</summary>
    public ulong PagesSeen { get; set; }
}

/// <summary>What a mapped-ram stream says of a block: where in the file its pages and the bitmap of those that are there lie (migration/ram.c, struct MappedRamHeader).</summary>
/// <param name="PageSize">Bytes of a page.</param>
/// <param name="BitmapOffset">File offset of the bitmap: one bit a page, 64-bit little-endian words.</param>
/// <param name="PagesOffset">File offset of the first page.</param>
internal readonly record struct MappedRamHeader(ulong PageSize, ulong BitmapOffset, ulong PagesOffset);
