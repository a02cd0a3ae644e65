using System.Buffers.Binary;
using System.Text;

namespace Forengate.Symbols;

/// <summary>The CodeView record of an image: which symbols belong to it.</summary>
/// <param name="Name">File name of the PDB, without a path.</param>
/// <param name="Guid">Made anew by each full link.</param>
/// <param name="Age">Counts incremental changes.</param>
public sealed record CodeViewRecord(string Name, Guid Guid, uint Age)
{
    /// <summary>"RSDS", the form of CodeView record that all linkers since 2002 write: signature, GUID, age, zero-terminated name.</summary>
    public const uint RsdsSignature = 0x53445352;

    /// <summary>Bytes before the name.</summary>
    public const int RsdsNameOffset = 24;

    /// <summary>Longest name believed, in bytes: MAX_PATH.</summary>
    public const int MaxNameLength = 260;

    /// <summary>The key under which symbol servers and ISF collections keep these symbols: GUID and age in hexadecimal.</summary>
    public string Key => $"{Guid:N}{Age:x}".ToUpperInvariant();

    /// <summary>Reads a record; null where the bytes are none. The name may be cut off at the end of the bytes.</summary>
    public static CodeViewRecord? Parse(ReadOnlySpan<byte> record)
    {
        if (record.Length <= RsdsNameOffset || BinaryPrimitives.ReadUInt32LittleEndian(record) != RsdsSignature)
            return null;
        var name = record[RsdsNameOffset..Math.Min(record.Length, RsdsNameOffset + MaxNameLength)];
        var end = name.IndexOf((byte)0);
        if (end < 0)
            end = name.Length;
        name = name[..end];
        if (name.IsEmpty || name.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E) >= 0)
            return null;
        var text = Encoding.ASCII.GetString(name[(name.LastIndexOfAny((byte)'\\', (byte)'/') + 1)..]);
        return text.Length == 0
            ? null
            : new CodeViewRecord(text, new Guid(record.Slice(4, 16)), BinaryPrimitives.ReadUInt32LittleEndian(record[20..]));
    }

    public override string ToString() => $"{Name} {Guid:D} age {Age}";
}
