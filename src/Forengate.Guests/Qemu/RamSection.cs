using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A stretch of guest RAM and where it lies in the QEMU process.</summary>
/// <param name="Start">Guest-physical, page-aligned.</param>
/// <param name="Length">In bytes, whole pages.</param>
/// <param name="HostAddress">Virtual address in the QEMU process.</param>
/// <param name="Block">Name of the RAM block.</param>
internal readonly record struct RamSection(PhysicalAddress Start, ulong Length, ulong HostAddress, string Block)
{
    /// <summary>Of <see cref="Start"/> in the block.</summary>
    public ulong Offset { get; init; }

    public PhysicalAddress End => Start + Length;
}
