namespace Forengate.Testing.Devices;

/// <summary>What an operating system's ACPI driver does with memory slots: QEMU's memory hot-plug registers (docs/specs/acpi_mem_hotplug.rst).</summary>
public static class MemorySlots
{
    private const ushort Base = 0xA00;
    private const ushort Selector = Base;
    private const ushort Flags = Base + 0x14;
    private const byte Enabled = 1;
    private const byte Removing = 4;
    private const byte Eject = 8;

    public static bool IsEnabled(GuestBus bus, int slot)
    {
        bus.Out32(Selector, (uint)slot);
        return (bus.In8(Flags) & Enabled) != 0;
    }

    /// <summary>True when the guest was asked to give a DIMM back.</summary>
    public static bool IsAskedBack(GuestBus bus, int slot)
    {
        bus.Out32(Selector, (uint)slot);
        return (bus.In8(Flags) & Removing) != 0;
    }

    /// <summary>Gives a DIMM back, as a guest does when asked to (device_del).</summary>
    public static void Give(GuestBus bus, int slot)
    {
        bus.Out32(Selector, (uint)slot);
        bus.Out8(Flags, Eject);
    }
}
