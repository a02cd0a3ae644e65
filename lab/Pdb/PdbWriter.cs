using Forengate.Lab.Image;

namespace Forengate.Lab.Pdb;

/// <summary>What was written.</summary>
internal sealed record PdbCounts(int Types, int Records, int Publics);

/// <summary>Writes a PDB as Microsoft's linker would of a kernel, stripped to types and public symbols. It shares nothing with the reader in src/.</summary>
internal static class PdbWriter
{
    // The order of the streams; the first five are fixed by the format.
    private const int SectionHeaders = 5, Records = 6, Publics = 7, Globals = 8, TypeHashes = 9, IdHashes = 10, Names = 11;
    private const int StringId = 0x1605;
    private const uint InfoVersion = 20000404;
    private const uint FeatureVc140 = 20140508;

    public static byte[] Write(ReadOnlySpan<byte> guid, uint age, string path, IReadOnlyList<PeSection> sections, PdbTypeSource source, out PdbCounts counts)
    {
        var types = new TypeRecords();
        var emitter = new TypeEmitter(source, types);
        emitter.EmitAll();
        var ids = new TypeRecords();
        ids.Add(StringId, new RecordWriter().U32(0).Text(path));
        var publics = new List<PdbPublic>();
        foreach (var (name, rva) in source.Symbols)
        {
            for (var i = 0; i < sections.Count; i++)
            {
                if (rva >= sections[i].Rva && rva < sections[i].End)
                    publics.Add(new PdbPublic(name, i + 1, rva - sections[i].Rva, sections[i].IsCode));
            }
        }
        var (records, byPublic, byGlobal) = SymbolStreams.Write(publics);
        var (typeStream, typeHashes) = types.Write(TypeHashes);
        var (idStream, idHashes) = ids.Write(IdHashes);
        counts = new PdbCounts(emitter.Defined, types.Count, publics.Count);
        return MsfWriter.Write(
        [
            [], Info(guid, age), typeStream, DbiWriter.Write(age, sections, Globals, Publics, Records, SectionHeaders), idStream,
            DbiWriter.SectionHeaders(sections), records, byPublic, byGlobal, typeHashes, idHashes, DbiWriter.StringTable(),
        ]);
    }

    /// <summary>The PDB information stream: identity, the one named stream, and that there is an IPI stream.</summary>
    private static byte[] Info(ReadOnlySpan<byte> guid, uint age)
    {
        const string name = "/names";
        // A hash table of eight places: one is taken, none was deleted.
        const int places = 8;
        var place = (ushort)PdbHash.Name(name) % places;
        return new RecordWriter()
            .U32(InfoVersion).U32(0x5F000000).U32(age).Bytes(guid)
            .U32(name.Length + 1).Text(name)
            .U32(1).U32(places).U32(1).U32(1u << place).U32(0).U32(0).U32(Names)
            .U32(FeatureVc140).ToArray();
    }
}
