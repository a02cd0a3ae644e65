namespace Forengate.Memory;

/// <summary>Which devices' sections are read, out of the many a stream has.</summary>
internal static class MigrationDevices
{
    public const string Cpu = "cpu";
    public const string Apic = "apic";
    public const string KvmClock = "kvmclock";

    /// <summary>End of a virtio-mem device's name; before it stands the address of its PCI function. The early one (QEMU 8.0) tells what is plugged before RAM comes.</summary>
    public const string VirtioMem = "virtio-mem";

    public static bool IsWanted(string name) => name is Cpu or Apic or KvmClock || name.Contains(VirtioMem, StringComparison.Ordinal);
}
