using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>The decoded KDBG as a plan needs it.</summary>
/// <param name="Address">Where it lies.</param>
/// <param name="Bytes">Decoded.</param>
/// <param name="Encoded">True when memory holds it encoded.</param>
/// <param name="FlagAddress">Address of <c>KdpDataBlockEncoded</c>, where known.</param>
internal sealed record DebuggerBlock(VirtualAddress Address, ReadOnlyMemory<byte> Bytes, bool Encoded, VirtualAddress? FlagAddress)
{
    public static DebuggerBlock? Of(DebuggerData? kdbg) => kdbg is null ? null : new(kdbg.Address, kdbg.Bytes, kdbg.Encoded, kdbg.FlagAddress);

    /// <summary>A pointer field; null where the block ends before it or it is zero.</summary>
    public VirtualAddress? Pointer(DebuggerDataField field) =>
        (int)field + sizeof(ulong) <= Bytes.Length && BinaryPrimitives.ReadUInt64LittleEndian(Bytes.Span[(int)field..]) is not 0 and var value ? new VirtualAddress(value) : null;

    /// <summary>A 16-bit field; 0 where the block ends before it.</summary>
    public ushort Word(DebuggerDataField field) =>
        (int)field + sizeof(ushort) <= Bytes.Length ? BinaryPrimitives.ReadUInt16LittleEndian(Bytes.Span[(int)field..]) : (ushort)0;
}
