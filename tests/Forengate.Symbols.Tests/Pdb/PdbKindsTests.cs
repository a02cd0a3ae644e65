namespace Forengate.Symbols.Tests;

/// <summary>What kinds.cpp says, by hand: bases, virtual tables, bit-fields, anonymous members, arrays of arrays, enumerations of every width, variables with their types.</summary>
public sealed class PdbKindsTests
{
    [Theory]
    [InlineData("x64", "Base", "8 base int")]
    [InlineData("x64", "Flags", "0 base unsigned int bits 0 3|0 base unsigned int bits 3 7|8 base unsigned long long bits 0 40|16 base char bits 0 2")]
    [InlineData("x64", "Mixed", "0 base unsigned int|4 base unsigned int|0 base unsigned long long|0 struct Mixed::<unnamed-type-Named>")]
    [InlineData("x64", "Uses", "0 pointer to struct Opaque|8 enum Big|16 enum Odd|24 pointer to base void|32 pointer to function|40 pointer to base int")]
    [InlineData("x86", "Flags", "0 base unsigned int bits 0 3|0 base unsigned int bits 3 7|8 base unsigned long long bits 0 40|16 base char bits 0 2")]
    public void Fields_are_where_the_compiler_put_them(string machine, string type, string expected)
    {
        using var pdb = Open(machine);
        var layout = pdb.FindType(type);
        Assert.NotNull(layout);
        Assert.Equal(expected.Split('|').Order(StringComparer.Ordinal), layout.Fields.Select(IsfForm.Of).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Bases_are_told_from_members()
    {
        using var pdb = Open("x64");
        var derived = pdb.FindType("Derived")!;
        Assert.Equal(["Base at 0", "Other at 16"], derived.Fields.Where(field => field.IsBase).Select(field => $"{field.Type.Name} at {field.Offset}"));
        Assert.Equal(["Name", "Callback", "Mood"], derived.Fields.Where(field => !field.IsBase).Select(field => field.Name));
        Assert.Equal("char[15]", derived.Find("Name")!.Type.ToString());
        Assert.Equal(TypeKind.Struct, derived.Kind);
        Assert.Equal(TypeKind.Union, pdb.FindType("Mixed")!.Kind);
        Assert.Equal("Mixed[2][3]", pdb.FindType("Outer")!.Find("M")!.Type.ToString());
        Assert.Equal(48, pdb.FindType("Outer")!.Find("M")!.Type.Size);
    }

    [Theory]
    [InlineData("x64")]
    [InlineData("x86")]
    public void Constants_have_their_values(string machine)
    {
        using var pdb = Open(machine);
        Assert.Equal([new EnumConstant("Top", -1), new EnumConstant("Small", 1)], pdb.FindEnum("Big")!.Constants);
        // Clang writes the bytes of a negative constant as they lie; llvm-pdbutil shows 156 and 4294967295 too.
        Assert.Equal([new EnumConstant("Minus", 156), new EnumConstant("Plus", 100)], pdb.FindEnum("Odd")!.Constants);
        Assert.Equal([new EnumConstant("None", uint.MaxValue), new EnumConstant("Large", int.MaxValue)], pdb.FindEnum("Derived::Inner")!.Constants);
        Assert.Equal((8L, 1L), (pdb.FindEnum("Big")!.Underlying.Size, pdb.FindEnum("Odd")!.Underlying.Size));
    }

    [Theory]
    [InlineData("x64", 0x8664, 8)]
    [InlineData("x86", 0x14C, 4)]
    public void Symbols_have_addresses_and_types(string machine, int type, int pointer)
    {
        using var pdb = Open(machine);
        Assert.Equal((type, pointer), (pdb.Machine, pdb.PointerSize));
        var hidden = Assert.Single(pdb.SymbolRecords, symbol => symbol.Name == "Hidden");
        Assert.Equal((PdbSymbolKind.Data, "int"), (hidden.Kind, pdb.TypeAt(hidden.Type).ToString()));
        Assert.NotNull(pdb.RvaOf("Hidden"));
        // On x86 a C name has an underscore that people leave out.
        Assert.NotNull(pdb.RvaOf("PlainFunction"));
        Assert.Null(pdb.RvaOf("NoSuchFunction"));
        Assert.Contains(pdb.SymbolRecords, symbol => symbol.Kind == PdbSymbolKind.TypeName && symbol.Name == "Outer");
        Assert.Equal(pointer, pdb.FindType("Outer")!.Find("Next")!.Type.Size);
    }

    private static PdbFile Open(string machine) => PdbFile.Open("kinds.pdb", SymbolCorpus.Load($"pdb/clang-{machine}.pdb"));
}
