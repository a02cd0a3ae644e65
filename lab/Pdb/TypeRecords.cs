namespace Forengate.Lab.Pdb;

/// <summary>The records of a type stream with their hashes; equal records are one.</summary>
internal sealed class TypeRecords
{
    public const uint First = 0x1000;
    /// <summary>Hash buckets, as Microsoft's linker chooses them (0x40000 less one).</summary>
    private const uint Buckets = 0x3FFFF;
    private const int IndexEvery = 8192;
    private const int NoStream = 0xFFFF;

    private readonly List<byte[]> _records = [];
    private readonly List<uint> _hashes = [];
    private readonly Dictionary<string, uint> _known = new(StringComparer.Ordinal);

    public int Count => _records.Count;

    /// <summary>Adds a record by its kind and body.</summary>
    /// <param name="leaf">Kind.</param>
    /// <param name="body">What follows it.</param>
    /// <param name="hashName">The name that the record is found by, else null: then its bytes are hashed.</param>
    public uint Add(int leaf, RecordWriter body, string? hashName = null)
    {
        body.Pad();
        var record = new RecordWriter().U16(body.Length + 2).U16(leaf).Bytes(body.ToArray()).ToArray();
        if (record.Length > 0xFF00)
            throw new InvalidOperationException($"a type record of {record.Length} bytes is too long");
        var key = Convert.ToBase64String(record);
        if (_known.TryGetValue(key, out var index))
            return index;
        index = First + (uint)_records.Count;
        _known.Add(key, index);
        _records.Add(record);
        _hashes.Add((hashName is null ? PdbHash.Record(record) : PdbHash.Name(hashName)) % Buckets);
        return index;
    }

    /// <summary>The stream and its hash stream, which lies at <paramref name="hashStream"/>.</summary>
    public (byte[] Types, byte[] Hashes) Write(int hashStream)
    {
        var (bytes, hashes, offsets) = (new RecordWriter(), new RecordWriter(), new RecordWriter());
        var indexed = -IndexEvery;
        for (var i = 0; i < _records.Count; i++)
        {
            if (bytes.Length - indexed >= IndexEvery)
            {
                indexed = bytes.Length;
                offsets.U32(First + (uint)i).U32(bytes.Length);
            }
            bytes.Bytes(_records[i]);
            hashes.U32(_hashes[i]);
        }
        var types = new RecordWriter()
            .U32(20040203).U32(56).U32(First).U32(First + (uint)_records.Count).U32(bytes.Length)
            .U16(hashStream).U16(NoStream).U32(4).U32(Buckets)
            .U32(0).U32(hashes.Length).U32(hashes.Length).U32(offsets.Length).U32(hashes.Length + offsets.Length).U32(0)
            .Bytes(bytes.ToArray());
        return (types.ToArray(), hashes.Bytes(offsets.ToArray()).ToArray());
    }
}
