namespace Forengate.Memory;

/// <summary>One device of the JSON description at a stream's end: the size its state had when it was written.</summary>
/// <param name="Name">QEMU's name of the section.</param>
/// <param name="Instance">The section's instance.</param>
/// <param name="Version">The section's version.</param>
/// <param name="Size">Bytes between the section's header and footer; null where the description does not add up.</param>
/// <param name="Start">Where its object lies in the JSON text.</param>
/// <param name="Length">How long its object is.</param>
internal readonly record struct DeviceDescription(string Name, uint Instance, uint Version, long? Size, int Start, int Length);
