using System.IO.Compression;
using Forengate.Testing;

namespace Forengate.Memory.Tests;

/// <summary>
/// The seeds in tests/corpus/dmp are what the builder makes; with <c>FORENGATE_WRITE_CORPUS=1</c> they are written anew. One is not: the 64-bit small dump, which the debugger engine wrote of a twin.
/// </summary>
public sealed class DumpCorpusTests
{
    private static readonly ulong[] Frames = [1, 2, 3, 64, 65, 100];

    public static TheoryData<string> Names => [.. Seeds().Select(seed => seed.Name)];

    [Theory, MemberData(nameof(Names))]
    public void SeedIsWhatTheBuilderMakes(string name)
    {
        var path = Checkout.PathOf($"tests/corpus/dmp/{name}.dmp.gz");
        var made = Seeds().Single(seed => seed.Name == name).File;
        if (Environment.GetEnvironmentVariable("FORENGATE_WRITE_CORPUS") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using var packed = new GZipStream(File.Create(path), CompressionLevel.SmallestSize);
            packed.Write(made);
        }
        using var file = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        using var content = new MemoryStream();
        file.CopyTo(content);
        Assert.True(content.ToArray().AsSpan().SequenceEqual(made));
    }

    private static IEnumerable<(string Name, byte[] File)> Seeds()
    {
        foreach (var is64 in new[] { true, false })
        {
            var bits = is64 ? 64 : 32;
            yield return ($"complete-{bits}", DumpFile.Complete(DumpFile.Header(is64, 1, 0, (1, 2), (0x10, 3)), (1, 2), (0x10, 3)));
            yield return ($"full-bitmap-{bits}", DumpFile.Bitmap(DumpFile.Header(is64, 5, 0, (1, 50), (60, 60)), "FDMP"u8, 128, Frames));
            yield return ($"active-{bits}", DumpFile.Bitmap(DumpFile.Header(is64, 5, 0x40, (1, 50), (60, 60)), "SDMP"u8, 128, Frames));
            yield return ($"kernel-bitmap-{bits}", DumpFile.Bitmap(DumpFile.Header(is64, 6), "SDMP"u8, 128, Frames));
            yield return ($"kernel-summary-{bits}", DumpFile.Bitmap(DumpFile.Header(is64, 2, 0, (1, 50), (60, 60)), "SDMP"u8, 128, Frames, isSummary: true));
            yield return ($"cut-bitmap-{bits}", DumpFile.Bitmap(DumpFile.Header(is64, 6, 0, (1, 120)), "SDMP"u8, 128, Frames)[..^0x1800]);
        }
        yield return ("kernel-range-64", DumpFile.Ranges(DumpFile.Header(true, 8), (1, 3), (0x10, 1), (0x100, 2)));
        yield return ("complete-range-64", DumpFile.Ranges(DumpFile.Header(true, 10), (1, 3), (0x10, 1)));
        yield return ("small-header-64", DumpFile.Header(true, 4));
        yield return ("small-32", SmallDumpFile32.Of(7601, pae: true).Bytes);
        yield return ("small-xp-32", SmallDumpFile32.Of(2600, pae: false).Bytes);
    }
}
