using Forengate.Testing;
using Forengate.Testing.Twins;

namespace Forengate.Symbols.Tests;

/// <summary>The reader against llvm-pdbutil, type by type and symbol by symbol: on a PDB of Microsoft's linker, two of lld, and one of the lab of kernel size.</summary>
public sealed class LlvmDumpTests
{
    [Fact]
    public void A_PDB_of_Microsofts_linker_is_read_as_llvm_pdbutil_reads_it() => Compare(RealData.PathOf("pdb/ntdll-x64.pdb"), 596, 114, 6296);

    [Theory]
    [InlineData("x64", 12, 3, 20)]
    [InlineData("x86", 12, 3, 20)]
    public void A_PDB_of_lld_is_read_as_llvm_pdbutil_reads_it(string machine, int types, int enums, int symbols)
    {
        var path = Path.Combine(TwinFolders.New(), "kinds.pdb");
        File.WriteAllBytes(path, SymbolCorpus.Load($"pdb/clang-{machine}.pdb"));
        Compare(path, types, enums, symbols);
    }

    [Fact]
    public void A_PDB_of_the_lab_is_read_as_llvm_pdbutil_reads_it() => Compare(TwinPdbs.Get(TwinImages.Get("--build", "22000", "--memory", "128", "--drivers", "4", "--processes", "4")), 50, 0, 200);

    /// <summary>At least so many of each are expected: a comparison of nothing shows nothing.</summary>
    private static void Compare(string path, int types, int enums, int symbols)
    {
        var theirs = LlvmDump.Of(path);
        using var ours = PdbFile.Open(path);
        var wrong = new List<string>();
        var left = ours.Types.ToDictionary(type => type.Name);
        var (comparedTypes, comparedEnums, comparedSymbols) = (0, 0, 0);
        foreach (var (name, size, fields) in theirs.Types())
        {
            comparedTypes++;
            if (!left.Remove(name, out var type))
            {
                wrong.Add($"{name} is missing");
                continue;
            }
            var own = type.Fields.Select(field => $"{field.Name} {IsfForm.Of(field)}").ToList();
            if (type.Size != size)
                wrong.Add($"{name}: {type.Size} bytes instead of {size}");
            wrong.AddRange(fields.Except(own).Select(field => $"{name}: not '{field}'"));
            wrong.AddRange(own.Except(fields).Select(field => $"{name}: but '{field}'"));
        }
        wrong.AddRange(left.Keys.Select(name => $"{name} is too many"));
        var enumerations = ours.Enums.ToDictionary(type => type.Name);
        foreach (var (name, underlying, constants) in theirs.Enums())
        {
            comparedEnums++;
            var own = enumerations.Remove(name, out var type) ? type.Constants.Select(constant => Line(constant, type)).ToList() : [];
            if (type is null || !own.SequenceEqual(constants) || $"base {type.Underlying.Name}" != underlying)
                wrong.Add($"{name}: {string.Join(',', own.Except(constants))} instead of {string.Join(',', constants.Except(own))}");
        }
        wrong.AddRange(enumerations.Keys.Select(name => $"{name} is too many"));
        var sections = LlvmDump.Sections(path);
        var addresses = ours.SymbolRecords.Where(symbol => symbol.Kind == PdbSymbolKind.Public).ToLookup(symbol => symbol.Name, symbol => symbol.Rva);
        foreach (var (name, section, offset) in LlvmDump.Publics(path))
        {
            comparedSymbols++;
            uint? rva = section >= 1 && section <= sections.Count ? sections[section - 1] + offset : null;
            if (!addresses[name].Contains(rva))
                wrong.Add($"{name}: {string.Join(',', addresses[name])} instead of {rva}");
        }
        Assert.True(wrong.Count == 0, $"{wrong.Count}: {string.Join('\n', wrong.Take(20))}");
        Assert.True(comparedTypes >= types && comparedEnums >= enums && comparedSymbols >= symbols, $"only {comparedTypes} types, {comparedEnums} enumerations, {comparedSymbols} publics");
        Assert.Empty(ours.Damage);
    }

    private static string Line(EnumConstant constant, EnumLayout type) =>
        $"{constant.Name} = {(type.Underlying.Name.StartsWith("unsigned", StringComparison.Ordinal) ? ((ulong)constant.Value).ToString() : constant.Value.ToString())}";
}
