using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Where a guest's RAM lies when QEMU is not asked: as its machine type divides it (<see cref="RamSplit"/>), with the DIMMs where libvirt says they are, and checked by the tables that the
/// firmware put into memory. What does not agree is refused, not chosen.
/// </summary>
internal static class PortableRam
{
    /// <summary>Where a video card's window begins in a PC's first MiB, and the ROMs behind it.</summary>
    private const ulong VideoWindow = 0xA0000;
    private const ulong Roms = 0xC0000;

    /// <summary>Ranges of RAM, ascending and disjoint.</summary>
    /// <param name="name">The guest, for messages.</param>
    /// <param name="description">libvirt's.</param>
    /// <param name="low">RAM below 4 GiB as the user knows it; null: as the machine type has it.</param>
    /// <param name="read">Reads guest memory.</param>
    /// <param name="remarks">Takes how it was found.</param>
    /// <param name="damage">Takes what of the guest's memory was left out.</param>
    /// <exception cref="GuestException">It can't be told, or what tells it does not agree.</exception>
    public static List<PhysicalRange> Find(string name, DomainDescription description, ulong? low, FirmwareMemory.Reader read, List<string> remarks, List<string> damage)
    {
        var size = description.InitialMemory & ~(ulong)Page.OffsetMask;
        if (size == 0)
            throw new GuestException(GuestFailure.MemoryMap, $"{name}: libvirt's description tells no memory");
        if (description.Architecture is not ("x86_64" or "i686") || description.Machine is not { } machine || !IsPc(machine))
        {
            throw new GuestException(
                GuestFailure.MemoryMap,
                $"{name}: where RAM lies in a machine '{description.Machine}' ({description.Architecture}) is not known without asking QEMU: use --means monitor (which marks the domain as tainted)");
        }
        if (description.MovesRam && low is null)
            throw new GuestException(GuestFailure.MemoryMap, $"{name}: its command line moves RAM (max-ram-below-4g): say where it ends with --low-memory, or use --means monitor");
        string rule;
        ulong below;
        if (low is { } said)
            (below, rule) = (Math.Min(said, size), "as --low-memory says");
        else
            below = RamSplit.Low(machine, size, out rule);
        var initial = new List<PhysicalRange> { new(default, below) };
        if (size > below)
            initial.Add(new PhysicalRange(new PhysicalAddress(RamSplit.FourGiB), size - below));
        var checkedBy = Check(name, initial, read, low is not null);
        remarks.Add($"RAM below 4 GiB ends at 0x{below:x}, {rule}{checkedBy}");
        return [.. WithoutWindow(initial, description.HasVideo).Concat(Devices(description, damage)).OrderBy(range => range.Start.Value)];
    }

    private static bool IsPc(string machine) => machine.Contains("q35", StringComparison.Ordinal) || machine.Contains("i440fx", StringComparison.Ordinal) || machine is "pc" or "microvm";

    /// <summary>How the firmware's tables agree, as the end of a sentence.</summary>
    private static string Check(string name, List<PhysicalRange> ranges, FirmwareMemory.Reader read, bool said)
    {
        var sure = ranges[0].Length;
        var found = FirmwareMemory.Find(read, (address, length) => address >= Page.Size && length <= sure && address <= sure - length && (address >= Roms || address + length <= VideoWindow));
        if (found.Count == 0)
            return "; no tables of the firmware to check it by were found";
        if (found.SequenceEqual(ranges))
            return "; the firmware's tables (SMBIOS) say the same";
        if (said)
            return $"; the firmware's tables (SMBIOS) say otherwise: {string.Join(", ", found)}";
        throw new GuestException(
            GuestFailure.MemoryMap,
            $"{name}: RAM would lie at {string.Join(", ", ranges)} by its machine type and size, and at {string.Join(", ", found)} by its firmware's tables: say which with --low-memory, or use --means monitor");
    }

    /// <summary>Reading a video card's window would read the card.</summary>
    private static IEnumerable<PhysicalRange> WithoutWindow(List<PhysicalRange> ranges, bool hasVideo)
    {
        if (!hasVideo || ranges[0].Length <= Roms)
            return ranges;
        return
        [
            new PhysicalRange(default, VideoWindow),
            new PhysicalRange(new PhysicalAddress(Roms), ranges[0].Length - Roms),
            .. ranges.Skip(1),
        ];
    }

    private static IEnumerable<PhysicalRange> Devices(DomainDescription description, List<string> damage)
    {
        foreach (var device in description.Devices)
        {
            if (device.Model is not ("dimm" or "virtio-mem"))
                continue;
            if (device.Base is { } at && device.Plugged == device.Size && at >= RamSplit.FourGiB && at % Page.Size == 0)
                yield return new PhysicalRange(new PhysicalAddress(at), device.Size & ~(ulong)Page.OffsetMask);
            else if (device.Plugged > 0)
                damage.Add($"{device.Plugged >> 20} MiB of a {device.Model} are missing: libvirt does not say where they lie (--means monitor asks QEMU)");
        }
    }
}
