using System.Buffers.Binary;

namespace Forengate.Windows;

/// <summary><c>DBGKD_GET_VERSION64</c> (windbgkd.h, wdbgexts.h; in every kernel's type table as <c>_DBGKD_GET_VERSION64</c>, unchanged since XP).</summary>
internal readonly record struct VersionBlock(
    ushort MajorVersion, ushort MinorVersion, byte ProtocolVersion, byte KdSecondaryVersion, ushort Flags, ushort MachineType, ulong KernBase)
{
    public const int Length = 0x28;

    public static VersionBlock From(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt16LittleEndian(bytes), BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]), bytes[4], bytes[5],
        BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]), BinaryPrimitives.ReadUInt16LittleEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt64LittleEndian(bytes[0x10..]));
}
