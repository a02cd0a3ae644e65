using System.Buffers.Binary;
using L = Forengate.Windows.Amd64ContextLayout;

namespace Forengate.Windows;

/// <summary>Reads the registers of a CONTEXT that a debugger steers by. Values are the memory's own.</summary>
public readonly ref struct Amd64ContextView
{
    private readonly ReadOnlySpan<byte> _bytes;

    /// <param name="bytes">At least <see cref="Amd64ContextLayout.Size"/> bytes.</param>
    public Amd64ContextView(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes.Length, L.Size);
        _bytes = bytes[..L.Size];
    }

    public Amd64ContextFlags Flags => (Amd64ContextFlags)BinaryPrimitives.ReadUInt32LittleEndian(_bytes[L.ContextFlags..]);
    public ushort SegCs => Word(L.SegCs);
    public ushort SegSs => Word(L.SegSs);
    public ulong Rip => Qword(L.Rip);
    public ulong Rsp => Qword(L.Rsp);
    public ulong Rbp => Qword(L.Rbp);

    /// <summary>Privilege level in the code selector, 0 to 3.</summary>
    public int Cpl => SegCs & 3;

    private ushort Word(int offset) => BinaryPrimitives.ReadUInt16LittleEndian(_bytes[offset..]);

    private ulong Qword(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[offset..]);
}
