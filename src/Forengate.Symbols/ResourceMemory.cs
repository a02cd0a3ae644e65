using System.Buffers;

namespace Forengate.Symbols;

/// <summary>
/// A resource of the program where it lies: in the mapped file of its assembly. Only what is looked at becomes resident, and no copy is made. It stays as long as the process, as assemblies do.
/// </summary>
internal sealed unsafe class ResourceMemory : MemoryManager<byte>
{
    private readonly UnmanagedMemoryStream _stream;
    private readonly byte* _start;
    private readonly int _length;

    /// <param name="stream">At the resource's beginning; kept, because it holds the assembly.</param>
    public ResourceMemory(UnmanagedMemoryStream stream)
    {
        _stream = stream;
        _start = stream.PositionPointer;
        _length = checked((int)stream.Length);
    }

    public override Span<byte> GetSpan() => new(_start, _length);

    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing) => _stream.Dispose();
}
