namespace Forengate.Memory;

/// <summary>A stretch of an output file: bytes as they are, memory of the view, or zeros.</summary>
internal readonly record struct OutputPart(ReadOnlyMemory<byte> Bytes, PhysicalRange Memory, ulong Zeros)
{
    public static OutputPart Of(ReadOnlyMemory<byte> bytes) => new(bytes, default, 0);

    /// <summary>Pages that turn out to be unreadable become zeros.</summary>
    public static OutputPart Of(PhysicalRange memory) => new(default, memory, 0);

    public static OutputPart OfZeros(ulong count) => new(default, default, count);

    public ulong Length => (ulong)Bytes.Length + Memory.Length + Zeros;
}
