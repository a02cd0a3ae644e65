namespace Forengate.Memory;

/// <summary>From the load segments of a machine's core to what is RAM, and where in the file it lies.</summary>
internal sealed class ElfCoreLayout
{
    private const ulong TwoGiB = 1UL << 31;

    /// <summary>Where RAM above the PCI hole begins, and firmware below it ends.</summary>
    public const ulong FourGiB = 1UL << 32;

    /// <summary>Largest firmware flash a PC maps just below 4 GiB.</summary>
    private const ulong LargestFirmware = 16UL << 20;

    private readonly List<FileExtent> _stored = [];
    private readonly List<FileExtent> _notStored = [];

    private readonly List<PhysicalRange> _leftOut = [];

    /// <summary>Segments that are firmware or device memory, not RAM.</summary>
    public IReadOnlyList<PhysicalRange> LeftOut => _leftOut;

    /// <summary>True when some segment says where it is in physical memory: in cores of processes none does.</summary>
    public bool HasPhysicalAddresses { get; private set; }

    public int Segments { get; private set; }

    public void Add(in ElfSegment segment)
    {
        Segments++;
        HasPhysicalAddresses |= segment.Physical.Value != 0;
        var stored = Math.Min(segment.FileSize, segment.MemorySize);
        // Firmware ends where RAM above 4 GiB begins, in memory and in the file: what touches there does not belong together.
        var below = segment.Physical.Value < FourGiB ? Math.Min(FourGiB - segment.Physical.Value, stored) : 0;
        if (below != 0)
            AddStored(FileExtent.Stored(segment.Physical, below, segment.FileOffset));
        if (below != stored)
            AddStored(FileExtent.Stored(segment.Physical + below, stored - below, unchecked(segment.FileOffset + below)));
        if (segment.MemorySize > stored)
            _notStored.Add(FileExtent.Without(segment.Physical + stored, segment.MemorySize - stored, PageState.Excluded));
    }

    /// <summary>The extents of RAM.</summary>
    /// <param name="maker">
    /// QEMU writes all RAM to the file, block after block, also where a core "with paging" names only the mapped parts, several times over: what lies between two segments of the same
    /// shift between file and memory is there too.
    /// </param>
    public List<FileExtent> Extents(ElfMaker maker)
    {
        List<FileExtent> stored = [.. _stored.OrderBy(extent => extent.Start.Value)];
        if (maker == ElfMaker.Qemu)
            stored = JoinSameShift(stored);
        var ram = new List<FileExtent>(stored.Count + _notStored.Count);
        var reached = 0UL;
        foreach (var extent in stored)
        {
            if (IsFirmware(extent.Start.Value, EndOf(extent), hasGapBelow: extent.Start.Value > reached, maker))
                _leftOut.Add(new PhysicalRange(extent.Start, extent.Length));
            else
                ram.Add(extent);
            reached = Math.Max(reached, EndOf(extent));
        }
        foreach (var extent in _notStored)
        {
            // QEMU: a mapping that runs over the end of a RAM block into device memory. VirtualBox: a device's registers. What such segments "leave out" never was RAM.
            if (maker is not (ElfMaker.Qemu or ElfMaker.VirtualBox))
                ram.Add(extent);
        }
        return ram;
    }

    private void AddStored(FileExtent extent)
    {
        if (_stored.Count != 0 && Continues(_stored[^1], extent))
            _stored[^1] = _stored[^1] with { Length = _stored[^1].Length + extent.Length };
        else
            _stored.Add(extent);
    }

    private static bool Continues(FileExtent first, FileExtent second) =>
        EndOf(first) == second.Start.Value && second.Start.Value != FourGiB && unchecked(first.FileOffset + first.Length) == second.FileOffset;

    private static List<FileExtent> JoinSameShift(List<FileExtent> sorted)
    {
        var result = new List<FileExtent>();
        foreach (var extent in sorted)
        {
            var isSameSide = result.Count != 0 && result[^1].Start.Value < FourGiB == extent.Start.Value < FourGiB;
            if (isSameSide && Shift(result[^1]) == Shift(extent))
            {
                var last = result[^1];
                result[^1] = last with { Length = Math.Max(EndOf(last), EndOf(extent)) - last.Start.Value };
            }
            else
            {
                result.Add(extent);
            }
        }
        return result;

        static ulong Shift(FileExtent extent) => unchecked(extent.FileOffset - extent.Start.Value);
    }

    /// <summary>
    /// A core names no kinds of memory, and neither does a kdump. RAM of a PC below 4 GiB is one stretch from 0 (with the old holes below 1 MiB); what comes behind a gap from 2 GiB on lies
    /// in the PCI hole: QEMU's BIOS at 0xfffc0000 or a display's frame buffer; VirtualBox' ROM and video memory. For cores by others only what ends exactly at 4 GiB and is small is taken
    /// for firmware.
    /// </summary>
    public static bool IsFirmware(ulong start, ulong end, bool hasGapBelow, ElfMaker maker)
    {
        // We write RAM only.
        if (maker == ElfMaker.Forengate)
            return false;
        return hasGapBelow && start >= TwoGiB && end <= FourGiB && (maker is ElfMaker.Qemu or ElfMaker.VirtualBox || (end == FourGiB && end - start <= LargestFirmware));
    }

    private static ulong EndOf(FileExtent extent) => extent.Start.Value + Math.Min(extent.Length, ulong.MaxValue - extent.Start.Value);
}
