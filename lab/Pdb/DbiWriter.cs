using System.Text;
using Forengate.Lab.Image;

namespace Forengate.Lab.Pdb;

/// <summary>Writes the DBI stream (llvm.org/docs/PDB/DbiStream.html): one module, the linker's own, that all sections come from.</summary>
internal static class DbiWriter
{
    private const int Amd64 = 0x8664;
    private const int NoStream = 0xFFFF;
    /// <summary>Linker 14.11 in the new form.</summary>
    private const int LinkerVersion = 0x8E0B;
    private const uint ContributionsVersion = 0xEFFE0000 + 19970605;
    private const int DebugStreams = 11;
    private const int SectionHeadersPlace = 5;

    public static byte[] Write(uint age, IReadOnlyList<PeSection> sections, int globals, int publics, int records, int sectionHeaders)
    {
        var modules = new RecordWriter().U32(0);
        Contribution(modules, sections, 0);
        modules.U16(0).U16(NoStream).U32(0).U32(0).U32(0).U16(0).U16(0).U32(0).U32(0).U32(0).Text("* Linker *").Text("").Align();
        var contributions = new RecordWriter().U32(ContributionsVersion);
        for (var i = 0; i < sections.Count; i++)
            Contribution(contributions, sections, i);
        var map = SectionMap(sections);
        // One module without source files.
        var files = new RecordWriter().U16(1).U16(0).U16(0).U16(0).Align();
        var edit = StringTable();
        var debug = new RecordWriter();
        for (var i = 0; i < DebugStreams; i++)
            debug.U16(i == SectionHeadersPlace ? sectionHeaders : NoStream);
        return new RecordWriter()
            .U32(uint.MaxValue).U32(19990903).U32(age).U16(globals).U16(LinkerVersion).U16(publics).U16(0).U16(records).U16(0)
            .U32(modules.Length).U32(contributions.Length).U32(map.Length).U32(files.Length).U32(0).U32(0).U32(debug.Length).U32(edit.Length).U16(0).U16(Amd64).U32(0)
            .Bytes(modules.ToArray()).Bytes(contributions.ToArray()).Bytes(map.ToArray()).Bytes(files.ToArray()).Bytes(edit).Bytes(debug.ToArray()).ToArray();
    }

    public static byte[] SectionHeaders(IReadOnlyList<PeSection> sections)
    {
        var headers = new RecordWriter();
        foreach (var section in sections)
        {
            var name = new byte[8];
            Encoding.ASCII.GetBytes(section.Name).CopyTo(name, 0);
            headers.Bytes(name).U32(section.Size).U32(section.Rva).U32(section.Size).U32(section.Rva).U32(0).U32(0).U32(0).U32(section.Characteristics);
        }
        return headers.ToArray();
    }

    /// <summary>A string table without strings: "/names", and the names of edit and continue.</summary>
    public static byte[] StringTable() => new RecordWriter().U32(0xEFFEEFFE).U32(1).U32(1).U8(0).U32(1).U32(0).U32(0).ToArray();

    private static void Contribution(RecordWriter to, IReadOnlyList<PeSection> sections, int index) =>
        to.U16(index + 1).U16(0).U32(0).U32(sections[index].Size).U32(sections[index].Characteristics).U16(0).U16(0).U32(0).U32(0);

    private static RecordWriter SectionMap(IReadOnlyList<PeSection> sections)
    {
        const int readable = 1, writable = 2, executable = 4, is32Bit = 8, selector = 0x100, absolute = 0x200;
        var map = new RecordWriter().U16(sections.Count + 1).U16(sections.Count + 1);
        for (var i = 0; i < sections.Count; i++)
        {
            var flags = readable | is32Bit | selector | (sections[i].IsCode ? executable : 0) | ((sections[i].Characteristics & 0x8000_0000) != 0 ? writable : 0);
            Entry(flags, i + 1, sections[i].Size);
        }
        Entry(is32Bit | absolute, sections.Count + 1, uint.MaxValue);
        return map;

        void Entry(int flags, int frame, uint length) => map.U16(flags).U16(0).U16(0).U16(frame).U16(NoStream).U16(NoStream).U32(0).U32(length);
    }
}
