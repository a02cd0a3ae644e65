using System.Buffers.Binary;
using System.Text;

namespace Forengate.Symbols;

/// <summary>The PDB information stream: which link made the file, and which streams have names.</summary>
internal sealed record PdbInfo(uint Age, Guid Guid, IReadOnlyDictionary<string, int> NamedStreams)
{
    // The header: version, signature (a time), age, GUID.
    private const int VersionOffset = 0;
    private const int AgeOffset = 8;
    private const int GuidOffset = 12;
    private const int GuidLength = 16;
    /// <summary>The first version with a GUID (VC70).</summary>
    private const uint FirstVersion = 20000404;

    /// <summary>Bytes that hold GUID and age.</summary>
    public const int HeaderLength = GuidOffset + GuidLength;

    /// <summary>Reads the stream; null where it is none. Of damaged names, those before the damage.</summary>
    public static PdbInfo? Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderLength || BinaryPrimitives.ReadUInt32LittleEndian(bytes[VersionOffset..]) < FirstVersion)
            return null;
        return new PdbInfo(BinaryPrimitives.ReadUInt32LittleEndian(bytes[AgeOffset..]), new Guid(bytes.Slice(GuidOffset, GuidLength)), Names(bytes[HeaderLength..]));
    }

    /// <summary>A hash table as it lies: texts; how many entries and places; which places are taken, which were; for each taken one an offset into the texts and a number.</summary>
    private static Dictionary<string, int> Names(ReadOnlySpan<byte> bytes)
    {
        var names = new Dictionary<string, int>(StringComparer.Ordinal);
        var cursor = new ByteCursor(bytes);
        var texts = cursor.Take((int)Math.Min(cursor.U32(), int.MaxValue));
        var count = cursor.U32();
        cursor.Skip(sizeof(uint));
        // Two bit sets, each with its length in words.
        for (var i = 0; i < 2; i++)
            cursor.Skip((int)Math.Min(cursor.U32() * (long)sizeof(uint), int.MaxValue));
        for (; count > 0 && cursor.Left >= 2 * sizeof(uint); count--)
        {
            var (text, stream) = (cursor.U32(), cursor.U32());
            if (text >= texts.Length || stream > ushort.MaxValue)
                break;
            var name = new ByteCursor(texts[(int)text..]).Text();
            names.TryAdd(Encoding.UTF8.GetString(name), (int)stream);
        }
        return names;
    }
}
