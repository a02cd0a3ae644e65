using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>One process, its bytes, and what deduction learns of it step by step.</summary>
/// <param name="address">The EPROCESS.</param>
/// <param name="bytes">Its bytes.</param>
internal sealed class ProcessSample(VirtualAddress address, byte[] bytes)
{
    public VirtualAddress Address { get; } = address;

    public int Length => bytes.Length;

    /// <summary>The process object is signalled when the process has ended (wdm.h: a process can be waited for).</summary>
    public bool HasEnded => BinaryPrimitives.ReadInt32LittleEndian(bytes.AsSpan(PublicLayouts.HeaderSignalState)) != 0;

    /// <summary>The process's own address space, once its table base is known.</summary>
    public AddressSpace? Space { get; set; }

    /// <summary>Entries of its list of threads, once that is known.</summary>
    public int? Threads { get; set; }

    /// <summary>Its user-mode PEB as far as it can be read.</summary>
    public VirtualAddress? Peb { get; set; }

    public ReadOnlySpan<byte> Bytes => bytes;

    public ulong Qword(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(offset));

    public uint Dword(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(offset));

    public VirtualAddress Pointer(int offset) => new(Qword(offset));
}
