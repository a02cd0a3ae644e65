using System.IO.Compression;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>The files of tests/symbols-corpus, unpacked.</summary>
internal static class SymbolCorpus
{
    private const string Packed = ".gz";

    public static TheoryData<string> Names =>
        [.. Directory.EnumerateFiles(Root, "*" + Packed, SearchOption.AllDirectories).Select(path => Path.GetRelativePath(Root, path)[..^Packed.Length]).Order(StringComparer.Ordinal)];

    private static string Root => Checkout.PathOf("tests/symbols-corpus");

    public static byte[] Load(string name)
    {
        using var file = new GZipStream(File.OpenRead(Path.Combine(Root, name + Packed)), CompressionMode.Decompress);
        var unpacked = new MemoryStream();
        file.CopyTo(unpacked);
        return unpacked.ToArray();
    }
}
