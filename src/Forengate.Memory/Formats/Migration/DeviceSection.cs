namespace Forengate.Memory;

/// <summary>The saved state of one device, out of a migration stream.</summary>
/// <param name="Name">QEMU's name of the section: <c>cpu</c>, <c>apic</c>, <c>0000:00:04.0/virtio-mem</c>.</param>
/// <param name="Instance">Tells devices of one name apart: of CPUs their number.</param>
/// <param name="Version">Of the state's layout.</param>
/// <param name="Data">The bytes between header and footer.</param>
internal sealed record DeviceSection(string Name, uint Instance, uint Version, ReadOnlyMemory<byte> Data);
