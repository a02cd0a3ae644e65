using System.Globalization;
using System.IO.Compression;
using Forengate.Testing;
using Forengate.Testing.Hostile;

namespace Forengate.Memory.Tests;

/// <summary>
/// The fuzz target of every image reader: each file of tests/corpus, whole and spoilt, is opened by content and looked through. FORENGATE_FUZZ_ROUNDS says how many spoilt copies of
/// each file are tried (100 unless it is set), FORENGATE_FUZZ_SEED which; the same two give the same copies.
/// </summary>
public sealed class CorpusTests
{
    private const string Packed = ".gz";

    /// <summary>For a file of a few dozen KiB: any reader's index and buffers.</summary>
    private const long Allowance = 64L << 20;

    public static TheoryData<string> Files =>
        [.. Directory.EnumerateFiles(Checkout.PathOf("tests/corpus"), "*", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Checkout.PathOf("tests/corpus"), path)).Where(path => !path.EndsWith(".md", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    [Theory, MemberData(nameof(Files))]
    public void A_file_of_the_corpus_is_read_whole_and_survived_spoilt(string name)
    {
        var good = Load(name);
        var rounds = Number("FORENGATE_FUZZ_ROUNDS") ?? 100;
        var seed = (ulong)(Number("FORENGATE_FUZZ_SEED") ?? 1);
        // The name's end may matter: a pair of files is found by it.
        var extension = Path.GetExtension(name.EndsWith(Packed, StringComparison.Ordinal) ? name[..^Packed.Length] : name);
        using var file = new TemporaryFile(extension);
        Look(file.Path, good);
        Bounded.Survives(good, seed, rounds, bytes => Look(file.Path, bytes), Allowance, TimeSpan.FromSeconds(30 + (rounds / 20.0)));
    }

    private static void Look(string path, byte[] bytes)
    {
        File.WriteAllBytes(path, bytes);
        if (bytes.Length == 0)
            return;
        try
        {
            using var view = ImageReader.Open(path, cancellation: TestContext.Current.CancellationToken);
            Look(view.Memory);
        }
        catch (ImageFormatException refused)
        {
            Assert.DoesNotContain('\n', refused.Message);
        }
    }

    /// <summary>Every way to look at memory, at a few hundred places, whatever the ranges claim.</summary>
    private static void Look(PhysicalMemory memory)
    {
        const int MostRanges = 64, MostRuns = 64;
        var buffer = new byte[8 * Page.Size];
        var states = new PageState[8];
        var end = new PhysicalAddress(0);
        foreach (var range in memory.Ranges.Take(MostRanges))
        {
            Assert.True(range.Length != 0 && range.Start.Value % Page.Size == 0 && range.Length % Page.Size == 0 && range.Start >= end, $"range {range} behind {end}");
            end = range.End;
            var middle = new PhysicalAddress(range.Start.Value + (range.Length / 2));
            foreach (var at in new[] { range.Start, range.Start + 123, middle, LastOf(range), range.End })
            {
                var read = memory.Read(at, buffer);
                Assert.InRange(read, 0, buffer.Length);
                var mapped = memory.Map(at, buffer.Length);
                Assert.True(mapped.Length <= buffer.Length);
                if (mapped.Length != 0)
                    Assert.True(read >= mapped.Length && mapped.SequenceEqual(buffer.AsSpan(0, mapped.Length)), $"{at} reads other bytes than it maps");
                var readable = memory.StateOf(at) is PageState.Present or PageState.Zero;
                Assert.True(readable || read == 0, $"{at} is {memory.StateOf(at)} and reads {read} bytes");
            }
            var run = range.Start;
            for (var i = 0; i < MostRuns && run < range.End; i++)
            {
                var found = memory.RunAt(run, range.End.Value - run.Value);
                Assert.True(found.Range.Start == run && found.Range.Length != 0);
                Assert.Equal(memory.StateOf(run), found.State);
                Assert.Equal(found.State, memory.StateOf(LastOf(found.Range)));
                run = found.Range.End;
            }
            PhysicalAddress[] pages = [range.Start, LastOf(range), middle, range.End, range.Start, new PhysicalAddress(ulong.MaxValue), new PhysicalAddress(1UL << 51), middle];
            Assert.InRange(memory.ReadPages(pages, buffer, states), 0, pages.Length);
        }
        Assert.Equal(0, memory.Read(new PhysicalAddress(1UL << 60), buffer));
    }

    private static PhysicalAddress LastOf(PhysicalRange range) => new(range.End.Value - 1);

    private static byte[] Load(string name)
    {
        var bytes = File.ReadAllBytes(Path.Combine(Checkout.PathOf("tests/corpus"), name));
        if (!name.EndsWith(Packed, StringComparison.Ordinal))
            return bytes;
        using var unpacked = new MemoryStream();
        using (var stream = new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress))
            stream.CopyTo(unpacked);
        return unpacked.ToArray();
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;
}
