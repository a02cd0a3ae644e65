using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// KDBG of a 32-bit kernel: the same <c>KDDEBUGGER_DATA64</c>, shorter in old versions, its pointers stored in 64 bits (zero- or sign-extended). Only its list links are 32-bit ones, so that the
/// eight bytes in front of its tag are zero.
/// </summary>
public sealed class X86DebuggerData
{
    /// <summary>Of Windows XP, in bytes.</summary>
    public const int MinSize = 0x290;

    private X86DebuggerData(VirtualAddress address, byte[] bytes, bool encoded, string how) => (Address, Bytes, Encoded, How) = (address, bytes, encoded, how);

    public VirtualAddress Address { get; }

    /// <summary>The block decoded, as long as its size field says.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>True when the bytes in memory are encoded, so that a debugger reading them there would fail.</summary>
    public bool Encoded { get; }

    public string How { get; }

    /// <summary>A pointer's 32 bits; null where it is none into the kernel's half or the block ends before it.</summary>
    public VirtualAddress? Pointer(DebuggerDataField field) =>
        (int)field + sizeof(ulong) <= Bytes.Length && BinaryPrimitives.ReadUInt32LittleEndian(Bytes.Span[(int)field..]) is var value && X86Pointers.IsKernel(value) ? new VirtualAddress(value) : null;

    /// <summary>A 16-bit field; null where the block ends before it.</summary>
    public ushort? Word(DebuggerDataField field) =>
        (int)field + sizeof(ushort) <= Bytes.Length ? BinaryPrimitives.ReadUInt16LittleEndian(Bytes.Span[(int)field..]) : null;

    /// <summary>Reads the block at an address, plain or encoded; null where it is none of this kernel's.</summary>
    internal static X86DebuggerData? Read(AddressSpace space, VirtualAddress address, VirtualAddress kernelBase, string how)
    {
        Span<byte> raw = stackalloc byte[DebuggerData.MaxSize];
        raw = raw[..space.Read(address, raw)];
        if (raw.Length < MinSize)
            return null;
        if (Fits(raw, kernelBase) is { } size)
            return new X86DebuggerData(address, raw[..size].ToArray(), false, $"{how}; plain: tag, size, kernel base and list heads fit");
        Span<byte> plain = stackalloc byte[DebuggerData.MaxSize];
        plain = plain[..raw.Length];
        var known = BinaryPrimitives.ReadUInt64LittleEndian(raw[(int)DebuggerDataField.KernBase..]);
        foreach (var start in (ReadOnlySpan<ulong>)[kernelBase.Value, (ulong)(int)kernelBase.Value])
        {
            for (var rotation = 0; rotation < DebuggerDataEncoding.Rotations; rotation++)
            {
                var key = DebuggerDataEncoding.FromKnownWord(known, start, rotation);
                if ((uint)key.Decode(BinaryPrimitives.ReadUInt64LittleEndian(raw[(int)DebuggerDataField.OwnerTag..])) != DebuggerData.Tag)
                    continue;
                DebuggerDataEncoding.Decode(raw, plain, key);
                if (Fits(plain, kernelBase) is { } length)
                    return new X86DebuggerData(address, plain[..length].ToArray(), true, $"{how}; decoded with the kernel base as known word, rotation {rotation}: tag, size and list heads fit");
            }
        }
        return null;
    }

    /// <summary>Looks for a plain block in the pages of the kernel's image.</summary>
    internal static X86DebuggerData? Find(AddressSpace space, KernelImage image, CancellationToken ct)
    {
        Span<byte> page = stackalloc byte[Page.Size];
        for (var at = image.Base; at < image.End; at += Page.Size)
        {
            ct.ThrowIfCancellationRequested();
            var dwords = MemoryMarshal.Cast<byte, uint>(page[..space.Read(at, page)]);
            for (var from = 0; dwords[from..].IndexOf(DebuggerData.Tag) is var found and >= 0;)
            {
                from += found;
                var block = at + (ulong)(from * sizeof(uint)) - (ulong)DebuggerDataField.OwnerTag;
                if (block >= image.Base && Read(space, block, image.Base, "found by its tag in the kernel's image") is { } data)
                    return data;
                from++;
            }
        }
        return null;
    }

    /// <summary>The block's size where it is this kernel's.</summary>
    private static int? Fits(ReadOnlySpan<byte> block, VirtualAddress kernelBase)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(block[(int)DebuggerDataField.OwnerTag..]) != DebuggerData.Tag)
            return null;
        var size = BinaryPrimitives.ReadUInt32LittleEndian(block[(int)DebuggerDataField.Size..]);
        return size is >= MinSize and <= DebuggerData.MaxSize && size <= (uint)block.Length
            && IsPointer(block, DebuggerDataField.KernBase, out var start) && start == kernelBase.Value
            && IsPointer(block, DebuggerDataField.PsLoadedModuleList, out _) && IsPointer(block, DebuggerDataField.PsActiveProcessHead, out _)
            ? (int)size : null;
    }

    private static bool IsPointer(ReadOnlySpan<byte> block, DebuggerDataField field, out uint value)
    {
        var stored = BinaryPrimitives.ReadUInt64LittleEndian(block[(int)field..]);
        value = (uint)stored;
        return X86Pointers.IsKernel(value) && new VirtualAddress(stored).IsCanonical(X86Pointers.PaeLevels);
    }
}
