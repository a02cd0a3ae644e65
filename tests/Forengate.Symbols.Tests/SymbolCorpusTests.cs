using System.Globalization;
using Forengate.Testing;
using Forengate.Testing.Hostile;

namespace Forengate.Symbols.Tests;

/// <summary>
/// The fuzz target of the readers of symbol files: each file of tests/symbols-corpus, and the real PDB where it is at hand, whole and spoilt. FORENGATE_FUZZ_ROUNDS says how many spoilt
/// copies of each are tried (100 unless it is set), FORENGATE_FUZZ_SEED which.
/// </summary>
public sealed class SymbolCorpusTests
{
    public static TheoryData<string> Names => SymbolCorpus.Names;

    [Theory, MemberData(nameof(Names))]
    public void A_file_of_the_corpus_is_read_whole_and_survived_spoilt(string name)
    {
        var good = SymbolCorpus.Load(name);
        Look(name, good);
        Survive(good, bytes => Spoilt(name, bytes), 100);
    }

    [Fact]
    public void A_real_PDB_is_survived_spoilt()
    {
        var good = File.ReadAllBytes(RealData.PathOf("pdb/ntdll-x64.pdb"));
        Survive(good, bytes => Spoilt("ntdll.pdb", bytes), 25);
    }

    private static void Survive(byte[] good, Action<byte[]> look, int rounds)
    {
        rounds = Number("FORENGATE_FUZZ_ROUNDS") ?? rounds;
        Bounded.Survives(good, (ulong)(Number("FORENGATE_FUZZ_SEED") ?? 1), rounds, look, patience: TimeSpan.FromSeconds(60 + (rounds / 5.0)));
    }

    private static void Spoilt(string name, byte[] bytes)
    {
        try
        {
            Look(name, bytes);
        }
        catch (SymbolFormatException refused)
        {
            Assert.DoesNotContain('\n', refused.Message);
            Assert.StartsWith(name, refused.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>Everything that can be asked of a file.</summary>
    private static void Look(string name, byte[] bytes)
    {
        ISymbolTables tables = name.EndsWith(".json", StringComparison.Ordinal) ? IsfFile.Open(name, new MemoryStream(bytes)) : PdbFile.Open(name, bytes);
        foreach (var type in tables.Types)
        {
            Assert.True(type.Size >= 0);
            Assert.All(type.Fields, field => Assert.NotNull(field.Type.ToString()));
        }
        foreach (var type in tables.Enums)
            Assert.NotNull(type.Underlying);
        Assert.True(tables.Symbols.Count() >= 0);
        if (tables is PdbFile pdb)
        {
            foreach (var symbol in pdb.SymbolRecords)
                Assert.NotNull(symbol.Name);
            Assert.NotNull(pdb.Modules);
            Assert.NotNull(pdb.NamedStreams);
            foreach (var text in pdb.Texts())
                Assert.NotNull(text);
        }
        Assert.Equal(tables.CodeView.Key, KernelProfile.From(tables).CodeView.Key);
        IsfWriter.Write(Stream.Null, tables);
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
}
