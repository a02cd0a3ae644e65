using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>One note: who defines it, what it is, what it says (gABI 4+, chapter 5, "Note Section": three words, name and descriptor each padded to 4 bytes).</summary>
internal readonly ref struct ElfNote
{
    private const int HeaderSize = 12;

    private ElfNote(ReadOnlySpan<byte> name, uint type, ReadOnlySpan<byte> description)
    {
        Name = name;
        Type = type;
        Description = description;
    }

    /// <summary>Without the zero at its end.</summary>
    public ReadOnlySpan<byte> Name { get; }

    public uint Type { get; }

    public ReadOnlySpan<byte> Description { get; }

    /// <summary>Takes the first note off <paramref name="rest"/>; false at the end, and where what is left is no whole note.</summary>
    public static bool TryTake(ref ReadOnlySpan<byte> rest, out ElfNote note)
    {
        note = default;
        if (rest.Length < HeaderSize)
            return false;
        var nameSize = BinaryPrimitives.ReadUInt32LittleEndian(rest);
        var descriptionSize = BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]);
        var type = BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]);
        var descriptionAt = HeaderSize + Padded(nameSize);
        if (descriptionAt + descriptionSize > rest.Length)
            return false;
        note = new ElfNote(rest.Slice(HeaderSize, (int)nameSize).TrimEnd((byte)0), type, rest.Slice((int)descriptionAt, (int)descriptionSize));
        rest = rest[(int)Math.Min(descriptionAt + Padded(descriptionSize), rest.Length)..];
        return true;
    }

    private static long Padded(uint size) => ((long)size + 3) & ~3L;
}
