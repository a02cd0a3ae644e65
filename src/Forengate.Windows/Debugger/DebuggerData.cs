using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// KDBG: the kernel's <c>KdDebuggerDataBlock</c>, decoded. Immutable.
/// </summary>
public sealed class DebuggerData
{
    /// <summary>The smallest size believed: Windows 7's block with its last Windows 7 field, in bytes.</summary>
    public const int MinSize = 0x300;

    /// <summary>The same for 32-bit Windows: Windows XP's block, in bytes.</summary>
    public const int MinX86Size = 0x290;

    /// <summary>The largest size believed, in bytes.</summary>
    public const int MaxSize = 0x400;

    /// <summary><c>'KDBG'</c> as the block's OwnerTag holds it (<c>KDBG_TAG</c> in <c>wdbgexts.h</c>).</summary>
    public const uint Tag = 0x4742444B;

    internal DebuggerData(VirtualAddress address, byte[] bytes, bool encoded, VirtualAddress? flagAddress, byte? flag, string how)
    {
        Address = address;
        Bytes = bytes;
        Encoded = encoded;
        FlagAddress = flagAddress;
        Flag = flag;
        How = how;
    }

    /// <summary>Where the block lies.</summary>
    public VirtualAddress Address { get; }

    /// <summary>The block decoded, exactly <see cref="Size"/> bytes.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>True when the bytes in memory are encoded, so that a debugger reading them there would fail.</summary>
    public bool Encoded { get; }

    /// <summary>Address of the one-byte <c>KdpDataBlockEncoded</c>; null where the profile does not know it.</summary>
    public VirtualAddress? FlagAddress { get; }

    /// <summary>What <c>KdpDataBlockEncoded</c> holds; null where it could not be read.</summary>
    public byte? Flag { get; }

    /// <summary>How the block was found, decoded and confirmed.</summary>
    public string How { get; }

    /// <summary>The block's own size field, in bytes.</summary>
    public int Size => Bytes.Length;

    public VirtualAddress KernBase => new(Qword(DebuggerDataField.KernBase));
    public VirtualAddress PsLoadedModuleList => new(Qword(DebuggerDataField.PsLoadedModuleList));
    public VirtualAddress PsActiveProcessHead => new(Qword(DebuggerDataField.PsActiveProcessHead));
    public VirtualAddress PspCidTable => new(Qword(DebuggerDataField.PspCidTable));
    public VirtualAddress KiBugcheckData => new(Qword(DebuggerDataField.KiBugcheckData));

    /// <summary>Address of the variable that holds the PFN database's address.</summary>
    public VirtualAddress MmPfnDatabase => new(Qword(DebuggerDataField.MmPfnDatabase));
    public VirtualAddress KiProcessorBlock => new(Qword(DebuggerDataField.KiProcessorBlock));
    public VirtualAddress MmPhysicalMemoryBlock => new(Qword(DebuggerDataField.MmPhysicalMemoryBlock));
    public VirtualAddress NtBuildLab => new(Qword(DebuggerDataField.NtBuildLab));

    public ushort SizePrcb => Word(DebuggerDataField.SizePrcb);
    public ushort SizeEProcess => Word(DebuggerDataField.SizeEProcess);
    public ushort OffsetPrcbProcStateContext => Word(DebuggerDataField.OffsetPrcbProcStateContext);
    public ushort OffsetPrcbProcStateSpecialReg => Word(DebuggerDataField.OffsetPrcbProcStateSpecialReg);
    public ushort OffsetPrcbNumber => Word(DebuggerDataField.OffsetPrcbNumber);
    public ushort OffsetPrcbCurrentThread => Word(DebuggerDataField.OffsetPrcbCurrentThread);
    public ushort OffsetPcrContainedPrcb => Word(DebuggerDataField.OffsetPcrContainedPrcb);

    /// <summary>Offset in KPRCB of the pointer to the CONTEXT a debugger reads; null where the block ends before the field.</summary>
    public ushort? OffsetPrcbContext => Has(DebuggerDataField.OffsetPrcbContext, sizeof(ushort)) ? Word(DebuggerDataField.OffsetPrcbContext) : null;

    /// <summary>True when the block is long enough to hold the field.</summary>
    public bool Has(DebuggerDataField field, int size) => (int)field + size <= Bytes.Length;

    /// <summary>A 64-bit field; 0 where the block ends before it.</summary>
    public ulong Qword(DebuggerDataField field) =>
        Has(field, sizeof(ulong)) ? BinaryPrimitives.ReadUInt64LittleEndian(Bytes.Span[(int)field..]) : 0;

    /// <summary>A 16-bit field; 0 where the block ends before it.</summary>
    public ushort Word(DebuggerDataField field) =>
        Has(field, sizeof(ushort)) ? BinaryPrimitives.ReadUInt16LittleEndian(Bytes.Span[(int)field..]) : (ushort)0;
}
