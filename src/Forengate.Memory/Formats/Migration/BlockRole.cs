namespace Forengate.Memory;

/// <summary>What a RAM block of QEMU's is for, by its name.</summary>
internal enum BlockRole
{
    /// <summary>RAM from address 0 on: all of it, or a NUMA node's part.</summary>
    Main,

    /// <summary>A backend that somebody named: a DIMM's, or main RAM's.</summary>
    Backend,

    /// <summary>A virtio-mem or virtio-pmem device's.</summary>
    VirtioMemory,

    /// <summary>Firmware, video memory, tables: no RAM of the guest's.</summary>
    Device,
}

/// <summary>Names that QEMU gives to RAM blocks (QEMU, hw/i386/pc.c, hw/core/loader.c, hw/core/numa.c, softmmu/physmem.c).</summary>
internal static class BlockNames
{
    private const string NodePrefix = "ram-node";

    /// <summary>Machine types up to 4.0 put this before the name of a memory backend.</summary>
    private const string ObjectsPrefix = "/objects/";

    /// <summary>A file that the firmware reads: ACPI's tables among them.</summary>
    public const string RomPrefix = "/rom@";

    public const string AcpiTables = "/rom@etc/acpi/tables";

    public static BlockRole RoleOf(string name)
    {
        name = Plain(name);
        if (name.Contains('/', StringComparison.Ordinal))
            return name.Contains("virtio-mem", StringComparison.Ordinal) || name.Contains("virtio-pmem", StringComparison.Ordinal) ? BlockRole.VirtioMemory : BlockRole.Device;
        if (name is "pc.ram" or "microvm.ram" or "xen.ram" || NodeOf(name) is not null)
            return BlockRole.Main;
        return name.StartsWith("system.flash", StringComparison.Ordinal) || name.EndsWith(".bios", StringComparison.Ordinal) || name.EndsWith(".rom", StringComparison.Ordinal)
            || name.EndsWith("vram", StringComparison.Ordinal) || name.EndsWith("isa-bios", StringComparison.Ordinal) ? BlockRole.Device : BlockRole.Backend;
    }

    /// <summary>The number of the NUMA node whose RAM a block is, as libvirt names them; null for other blocks.</summary>
    public static int? NodeOf(string name)
    {
        name = Plain(name);
        return name.StartsWith(NodePrefix, StringComparison.Ordinal)
            && int.TryParse(name.AsSpan(NodePrefix.Length), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var node) ? node : null;
    }

    private static string Plain(string name) => name.StartsWith(ObjectsPrefix, StringComparison.Ordinal) ? name[ObjectsPrefix.Length..] : name;
}
