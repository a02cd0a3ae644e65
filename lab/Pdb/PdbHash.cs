using System.Text;

namespace Forengate.Lab.Pdb;

/// <summary>The two hashes of a PDB, as Microsoft's published sources have them (github.com/microsoft/microsoft-pdb, misc.h: LHashPbCb, and the checksum SigForPbCb).</summary>
internal static class PdbHash
{
    private static readonly uint[] _table = MakeTable();

    /// <summary>Of names: words exclusive-ored, made lower case.</summary>
    public static uint Name(string name)
    {
        var bytes = Encoding.UTF8.GetBytes(name);
        uint hash = 0;
        var i = 0;
        for (; i + 4 <= bytes.Length; i += 4)
            hash ^= BitConverter.ToUInt32(bytes, i);
        if (i + 2 <= bytes.Length)
        {
            hash ^= BitConverter.ToUInt16(bytes, i);
            i += 2;
        }
        if (i < bytes.Length)
            hash ^= bytes[i];
        hash |= 0x20202020;
        hash ^= hash >> 11;
        return hash ^ (hash >> 16);
    }

    /// <summary>Of records without a name: CRC-32 that begins with 0 and is not inverted.</summary>
    public static uint Record(ReadOnlySpan<byte> record)
    {
        uint crc = 0;
        foreach (var one in record)
            crc = (crc >> 8) ^ _table[(byte)(crc ^ one)];
        return crc;
    }

    private static uint[] MakeTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            var value = i;
            for (var bit = 0; bit < 8; bit++)
                value = (value & 1) != 0 ? (value >> 1) ^ 0xEDB88320 : value >> 1;
            table[i] = value;
        }
        return table;
    }
}
