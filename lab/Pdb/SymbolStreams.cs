using System.Text;

namespace Forengate.Lab.Pdb;

/// <summary>A public symbol by section (from 1) and offset.</summary>
internal sealed record PdbPublic(string Name, int Section, uint Offset, bool IsCode);

/// <summary>The symbol records and the two streams by which they are found: publics by name and address, globals by name (llvm.org/docs/PDB/PublicStream.html, GlobalStream.html).</summary>
internal static class SymbolStreams
{
    private const int PublicRecord = 0x110E;
    private const int IsCode = 1, IsFunction = 2;
    /// <summary>Hash buckets; one more is counted for what was deleted.</summary>
    private const int Buckets = 4096;
    /// <summary>A record's offset and reference count take eight bytes in the file and counted as twelve where buckets say where they begin.</summary>
    private const int CountedEntry = 12;
    private const uint HashVersion = 0xEFFE0000 + 19990810;

    public static (byte[] Records, byte[] Publics, byte[] Globals) Write(IReadOnlyList<PdbPublic> publics)
    {
        var records = new RecordWriter();
        var offsets = new int[publics.Count];
        for (var i = 0; i < publics.Count; i++)
        {
            offsets[i] = records.Length;
            var body = new RecordWriter().U16(PublicRecord).U32(publics[i].IsCode ? IsCode | IsFunction : 0).U32(publics[i].Offset).U16(publics[i].Section).Text(publics[i].Name);
            // Its length stands before it, so that four bytes are a multiple of four from there.
            while ((body.Length + 2) % 4 != 0)
                body.U8(0);
            records.U16(body.Length).Bytes(body.ToArray());
        }
        var hash = Hash([.. publics.Select((symbol, i) => (symbol.Name, offsets[i]))]);
        var map = new RecordWriter();
        foreach (var i in Enumerable.Range(0, publics.Count).OrderBy(i => publics[i].Section).ThenBy(i => publics[i].Offset).ThenBy(i => publics[i].Name, StringComparer.Ordinal))
            map.U32(offsets[i]);
        var stream = new RecordWriter().U32(hash.Length).U32(map.Length).U32(0).U32(0).U16(0).U16(0).U32(0).U32(0).Bytes(hash).Bytes(map.ToArray());
        return (records.ToArray(), stream.ToArray(), Hash([]));
    }

    private static byte[] Hash(IReadOnlyList<(string Name, int Offset)> symbols)
    {
        var (entries, starts, present) = (new RecordWriter(), new RecordWriter(), new uint[(Buckets + 32) / 32]);
        var done = 0;
        foreach (var bucket in symbols.GroupBy(symbol => PdbHash.Name(symbol.Name) % Buckets).OrderBy(bucket => bucket.Key))
        {
            present[bucket.Key / 32] |= 1u << (int)(bucket.Key % 32);
            starts.U32(done * CountedEntry);
            // Microsoft's order: by length, then by letters whatever their case.
            foreach (var (_, offset) in bucket.OrderBy(symbol => Encoding.UTF8.GetByteCount(symbol.Name)).ThenBy(symbol => symbol.Name, StringComparer.OrdinalIgnoreCase).ThenBy(symbol => symbol.Offset))
            {
                entries.U32(offset + 1).U32(1);
                done++;
            }
        }
        var table = new RecordWriter();
        foreach (var word in present)
            table.U32(word);
        table.Bytes(starts.ToArray());
        return new RecordWriter().U32(uint.MaxValue).U32(HashVersion).U32(entries.Length).U32(table.Length).Bytes(entries.ToArray()).Bytes(table.ToArray()).ToArray();
    }
}
