using System.Globalization;

namespace Forengate.Memory;

/// <summary>What a RAM block of QEMU's is for, as its name tells.</summary>
internal enum BlockRole
{
    /// <summary>RAM from address 0 on: all of it, or a NUMA node's part.</summary>
    Main,

    /// <summary>A backend that somebody named: a NUMA node's, a DIMM's, or all of RAM.</summary>
    Backend,

    /// <summary>A device's: firmware, video memory, tables; or a virtio-mem device's.</summary>
    Device,
}

/// <summary>Names that QEMU gives to RAM blocks (QEMU, hw/i386/pc.c, hw/core/loader.c, hw/core/numa.c, softmmu/physmem.c): a device's block begins with the device's place.</summary>
internal static class BlockNames
{
    private const string NodePrefix = "ram-node";

    /// <summary>Machine types up to 4.0 put this before the name of a memory backend.</summary>
    private const string ObjectsPrefix = "/objects/";

    /// <summary>Where QEMU keeps the ACPI tables that it made for the guest's firmware.</summary>
    public const string AcpiTables = "/rom@etc/acpi/tables";

    private static readonly string[] DeviceEnds = [".bios", ".rom", "vram", "isa-bios"];

    public static BlockRole RoleOf(string name)
    {
        name = Plain(name);
        if (name.Contains('/', StringComparison.Ordinal))
            return BlockRole.Device;
        if (name is "pc.ram" or "microvm.ram" or "xen.ram" || NodeOf(name) is not null)
            return BlockRole.Main;
        return name.StartsWith("system.flash", StringComparison.Ordinal) || DeviceEnds.Any(end => name.EndsWith(end, StringComparison.Ordinal)) ? BlockRole.Device : BlockRole.Backend;
    }

    /// <summary>The number of the NUMA node whose RAM a block is, as libvirt names them; null for other blocks.</summary>
    public static int? NodeOf(string name)
    {
        name = Plain(name);
        return name.StartsWith(NodePrefix, StringComparison.Ordinal) && int.TryParse(name.AsSpan(NodePrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var node)
            ? node : null;
    }

    /// <summary>The number that a name ends with; the largest where there is none.</summary>
    public static int NumberOf(string name)
    {
        var digits = name.AsSpan()[(name.AsSpan().LastIndexOfAnyExceptInRange('0', '9') + 1)..];
        return int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : int.MaxValue;
    }

    private static string Plain(string name) => name.StartsWith(ObjectsPrefix, StringComparison.Ordinal) ? name[ObjectsPrefix.Length..] : name;
}
