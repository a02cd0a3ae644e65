using System.Buffers.Binary;
using System.Text;
using Forengate.Testing.Hostile;

namespace Forengate.Symbols.Tests;

/// <summary>Files that mean harm, or are something else.</summary>
public sealed class HostilePdbTests
{
    private static readonly byte[] Good = SymbolCorpus.Load("pdb/clang-x64.pdb");

    [Fact]
    public void What_is_no_PDB_is_refused_with_what_it_is()
    {
        Refused("portable PDB", "BSJB\u0001\0"u8);
        Refused("2.00", "Microsoft C/C++ program database 2.00\r\n"u8);
        Refused("cabinet", "MSCF\0\0"u8);
        Refused("is no PDB", "MZ"u8);
        Refused("is no PDB", []);
    }

    [Theory]
    [InlineData(32, 3000u, "blocks of 3000 bytes")]
    [InlineData(32, 0u, "blocks of 0 bytes")]
    [InlineData(44, 0xFFFFFFF0u, "directory")]
    [InlineData(44, 0u, "directory")]
    [InlineData(52, 0x00FFFFFFu, "outside")]
    public void A_superblock_that_lies_is_refused(int offset, uint value, string expected)
    {
        var bytes = (byte[])Good.Clone();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset), value);
        Assert.Contains(expected, Assert.Throws<SymbolFormatException>(() => PdbFile.Open("bad.pdb", bytes)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_field_list_that_goes_on_is_read_whole()
    {
        var (types, second) = (new List<byte[]>(), (uint)0x1000);
        types.Add([.. U16(CodeViewLeaf.FieldList), .. Member("Last", 8)]);
        types.Add([.. U16(CodeViewLeaf.FieldList), .. Member("First", 0), .. U16(CodeViewLeaf.Index), .. U16(0), .. U32(second)]);
        types.Add(Structure("_T", 0x1001));
        var type = Catalog(types).FindType("_T");
        Assert.Equal(["First", "Last"], type!.Fields.Select(field => field.Name));
    }

    [Fact]
    public void Lists_and_types_that_bite_their_tails_end()
    {
        var types = new List<byte[]>
        {
            // 0x1000: a list that goes on in itself; 0x1001 and 0x1002: pointers to each other; 0x1003: an array of itself.
            ([.. U16(CodeViewLeaf.FieldList), .. Member("Again", 0, 0x1001), .. U16(CodeViewLeaf.Index), .. U16(0), .. U32(0x1000)]),
            ([.. U16(CodeViewLeaf.Pointer), .. U32(0x1002), .. U32(0x1000C)]),
            ([.. U16(CodeViewLeaf.Pointer), .. U32(0x1001), .. U32(0x1000C)]),
            ([.. U16(CodeViewLeaf.Array), .. U32(0x1003), .. U32(0x23), .. U16(0x40), 0]),
            Structure("_Loop", 0x1000),
        };
        var damage = new List<string>();
        Bounded.Run(_ =>
        {
            var catalog = Catalog(types, damage);
            Assert.Equal(TypeKind.Pointer, catalog.FindType("_Loop")!.Fields[0].Type.Kind);
            Assert.Equal(TypeKind.Array, catalog.Reference(0x1003).Kind);
        });
        Assert.Contains(damage, line => line.Contains("0x1000", StringComparison.Ordinal));
    }

    /// <summary>Every type leads to a chain through all lists behind its own: read naively, that is a square of them.</summary>
    [Fact]
    public void Lists_that_share_all_their_members_cost_no_more_than_the_file()
    {
        const int count = 20_000;
        var types = new List<byte[]>();
        for (var i = 0; i < count; i++)
            types.Add([.. U16(CodeViewLeaf.FieldList), .. Member("M", 0), .. U16(CodeViewLeaf.Index), .. U16(0), .. U32(0x1000 + (uint)Math.Max(i - 1, 0))]);
        for (var i = 0; i < count; i++)
            types.Add(Structure($"_T{i}", 0x1000 + (uint)i));
        Bounded.Run(_ => Assert.Equal(count, Catalog(types).Types.Count()), allowance: 400L << 20, patience: TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void A_truncated_PDB_is_refused_or_read_as_far_as_it_goes()
    {
        for (var length = 0; length < Good.Length; length += 997)
        {
            try
            {
                using var pdb = PdbFile.Open("cut.pdb", Good.AsMemory(0, length));
                Assert.True(pdb.Types.Count() <= 30);
            }
            catch (SymbolFormatException refused)
            {
                Assert.StartsWith("cut.pdb", refused.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void What_was_rearranged_after_linking_is_found_where_it_went()
    {
        byte[] sections = [.. new byte[12], .. U32(0x1000), .. new byte[24], .. new byte[12], .. U32(0x8000), .. new byte[24]];
        byte[] omap = [.. U32(0x1000), .. U32(0x5000), .. U32(0x1100), .. U32(0), .. U32(0x8000), .. U32(0x2000)];
        var addresses = new PdbAddresses(sections, omap);
        Assert.Equal(0x5010u, addresses.RvaOf(1, 0x10));
        Assert.Null(addresses.RvaOf(1, 0x120));
        Assert.Equal(0x2004u, addresses.RvaOf(2, 4));
        Assert.Null(addresses.RvaOf(3, 0));
        Assert.Null(addresses.RvaOf(0, 0));
        Assert.Equal(0x1010u, new PdbAddresses(sections, []).RvaOf(1, 0x10));
    }

    [Theory]
    [InlineData(new byte[] { 0xFF, 0x7F }, 0x7FFF)]
    [InlineData(new byte[] { 0x00, 0x80, 0x80 }, -128)]
    [InlineData(new byte[] { 0x01, 0x80, 0x00, 0x80 }, -32768)]
    [InlineData(new byte[] { 0x02, 0x80, 0xFF, 0xFF }, 65535)]
    [InlineData(new byte[] { 0x03, 0x80, 0xFE, 0xFF, 0xFF, 0xFF }, -2)]
    [InlineData(new byte[] { 0x04, 0x80, 0xFE, 0xFF, 0xFF, 0xFF }, 0xFFFFFFFE)]
    [InlineData(new byte[] { 0x09, 0x80, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF }, -2)]
    [InlineData(new byte[] { 0x0A, 0x80, 1, 0, 0, 0, 0, 0, 0, 1 }, 0x0100000000000001)]
    [InlineData(new byte[] { 0x17, 0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 5)]
    [InlineData(new byte[] { 0x10, 0x80, 2, 0, 1, 1 }, 0)]
    [InlineData(new byte[] { 0x06, 0x80, 1, 2, 3, 4, 5, 6, 7, 8 }, 0)]
    public void Numbers_of_every_form_are_read_and_passed(byte[] bytes, long expected)
    {
        var cursor = new ByteCursor(bytes);
        Assert.Equal(expected, cursor.Numeric());
        Assert.False(cursor.Failed);
        Assert.Equal(0, cursor.Left);
        var cut = new ByteCursor(bytes.AsSpan(0, bytes.Length - 1));
        cut.Numeric();
        Assert.True(cut.Failed);
    }

    private static void Refused(string expected, ReadOnlySpan<byte> head)
    {
        var bytes = new byte[4096];
        head.CopyTo(bytes);
        Assert.Contains(expected, Assert.Throws<SymbolFormatException>(() => PdbFile.Open("odd.pdb", bytes)).Message, StringComparison.Ordinal);
    }

    private static TypeCatalog Catalog(List<byte[]> records, List<string>? damage = null)
    {
        byte[] body = [.. records.SelectMany(record => (byte[])[.. U16((ushort)record.Length), .. record])];
        byte[] stream = [.. U32(20040203), .. U32(56), .. U32(0x1000), .. U32(0x1000 + (uint)records.Count), .. U32((uint)body.Length), .. new byte[36], .. body];
        damage ??= [];
        return new TypeCatalog(TypeStream.Read(stream, "TPI stream", SymbolLimits.Default, damage), 8, SymbolLimits.Default, damage);
    }

    private static byte[] Member(string name, ushort offset, uint type = 0x74) =>
        [.. U16(CodeViewLeaf.Member), .. U16(3), .. U32(type), .. U16(offset), .. Encoding.ASCII.GetBytes(name), 0, .. Padding(name.Length + 1 + 10)];

    private static byte[] Structure(string name, uint fields) =>
        [.. U16(CodeViewLeaf.Structure), .. U16(1), .. U16(0), .. U32(fields), .. U32(0), .. U32(0), .. U16(64), .. Encoding.ASCII.GetBytes(name), 0];

    private static byte[] Padding(int length) => [.. Enumerable.Range(0, -length & 3).Select(i => (byte)(0xF0 + ((-length & 3) - i)))];

    private static byte[] U16(ushort value) => BitConverter.GetBytes(value);

    private static byte[] U32(uint value) => BitConverter.GetBytes(value);
}
