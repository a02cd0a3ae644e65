using Forengate.Memory;

namespace Forengate.Dumps.Tests;

public sealed class DumpWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void EveryByteIsTheGuestsExceptPatches(bool maps)
    {
        var memory = RandomMemory(maps);
        // 100 bytes across the end of page 0x105 by two patches, one more in the second run.
        DumpPatch[] patches = [new(new(0x105FE0), Fill(0x20), "a"), new(new(0x106000), Fill(0x44), "b"), new(new(0x7FFFF0), Fill(16), "c")];
        var plan = Plan(memory, [new(1, 0x9F), new(0x100, 0x700)], patches);
        var path = _folder["out.dmp"];
        var progress = new List<DumpProgress>();
        var result = DumpWriter.Write(plan, path, new Inline(progress.Add), TestContext.Current.CancellationToken);

        var expected = (byte[])memory.Bytes.Clone();
        foreach (var patch in patches)
            patch.Bytes.Span.CopyTo(expected.AsSpan((int)patch.Address.Value));
        var file = File.ReadAllBytes(path);
        Assert.Equal(plan.Header.ToArray(), file[..CrashDumpLayout64.HeaderSize]);
        Assert.True(file.AsSpan(0x2000, 0x9F000).SequenceEqual(expected.AsSpan(0x1000, 0x9F000)));
        Assert.True(file.AsSpan(0xA1000).SequenceEqual(expected.AsSpan(0x100000, 0x700000)));
        Assert.Equal((ulong)file.Length, result.Bytes);
        Assert.Equal(0x79Fu, result.Pages);
        Assert.Equal(0u, result.MissingPages);
        Assert.True(result.IsComplete);
        Assert.Equal((ulong)file.Length, progress[^1].BytesDone);
        Assert.Equal(["out.dmp"], _folder.Files);

        var stream = new MemoryStream();
        var streamed = DumpWriter.Write(plan, stream, "-", null, TestContext.Current.CancellationToken);
        Assert.Equal(file, stream.ToArray());
        Assert.Equal(result.ZeroPages, streamed.ZeroPages);
    }

    [Fact]
    public void ZeroPagesAreHoles()
    {
        var memory = new ArrayMemory(new byte[16 << 20], [new(new(0), 16 << 20)]);
        memory.Bytes[(8 << 20) + 5] = 1;
        var path = _folder["sparse.dmp"];
        var result = DumpWriter.Write(Plan(memory, [new(0, 4096)]), path);
        Assert.Equal(4095u, result.ZeroPages);
        Assert.Equal((16u << 20) + 0x2000, (ulong)new FileInfo(path).Length);
        Assert.True(AllocatedBytes(path) < 1 << 20);
        Assert.Equal(1, File.ReadAllBytes(path)[0x2000 + (8 << 20) + 5]);
    }

    [Fact]
    public void PagesWithoutBytesAreZerosAndCounted()
    {
        var memory = RandomMemory(maps: true);
        memory.States[0x200] = memory.States[0x201] = PageState.Missing;
        memory.States[0x300] = PageState.Ballooned;
        memory.States[0x400] = PageState.Zero;
        var path = _folder["gaps.dmp"];
        var result = DumpWriter.Write(Plan(memory, [new(0x100, 0x700)]), path);
        Assert.Equal(3u, result.MissingPages);
        Assert.Equal([new(new(0x200000), 0x2000), new(new(0x300000), 0x1000)], result.MissingRanges);
        Assert.False(result.IsComplete);
        Assert.Equal(-1, File.ReadAllBytes(path).AsSpan(0x2000 + 0x100000, 0x2000).IndexOfAnyExcept((byte)0));
    }

    [Fact]
    public void CancelLeavesNothing()
    {
        using var cancel = new CancellationTokenSource();
        cancel.Cancel();
        var path = _folder["old.dmp"];
        File.WriteAllText(path, "what was there");
        Assert.ThrowsAny<OperationCanceledException>(() => DumpWriter.Write(Plan(RandomMemory(true), [new(0x100, 0x700)]), path, null, cancel.Token));
        Assert.Equal(["old.dmp"], _folder.Files);
        Assert.Equal("what was there", File.ReadAllText(path));
    }

    [Fact]
    public void FullDiskIsOneLineAndLeavesNothing()
    {
        if (!File.Exists("/dev/full"))
            Assert.Skip("no /dev/full here");
        var error = Assert.Throws<DumpWriteException>(() => DumpWriter.Write(Plan(RandomMemory(true), [new(0x100, 0x700)]), "/dev/full"));
        Assert.Contains("no space left", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void ReaderWhoGoesAwayIsOneLine()
    {
        using var pipe = new System.IO.Pipes.AnonymousPipeServerStream(System.IO.Pipes.PipeDirection.Out);
        using (new System.IO.Pipes.AnonymousPipeClientStream(System.IO.Pipes.PipeDirection.In, pipe.ClientSafePipeHandle))
        {
        }
        pipe.DisposeLocalCopyOfClientHandle();
        var error = Assert.Throws<DumpWriteException>(() => DumpWriter.Write(Plan(RandomMemory(true), [new(0x100, 0x700)]), pipe, "-"));
        Assert.StartsWith("cannot write -: ", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void MissingFolderIsOneLine()
    {
        var error = Assert.Throws<DumpWriteException>(() => DumpWriter.Write(Plan(RandomMemory(true), [new(0x100, 1)]), _folder["no/such/out.dmp"]));
        Assert.StartsWith("cannot write ", error.Message, StringComparison.Ordinal);
        Assert.Empty(_folder.Files);
    }

    [Fact]
    public void OnlyTheOwnerMayReadIt()
    {
        var path = _folder["secret.dmp"];
        DumpWriter.Write(Plan(RandomMemory(true), [new(0x100, 1)]), path);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(path).UnixFileMode);
    }

    private static DumpPlan Plan(ArrayMemory memory, CrashDumpRun[] runs, DumpPatch[]? patches = null)
    {
        var header = new byte[CrashDumpLayout64.HeaderSize];
        new CrashDumpHeaderWriter64(header).Runs(runs);
        var view = new View(memory, [], new Consistency(ConsistencyLevel.Unknown, ""), new ViewOrigin { Target = "test", Format = "test" });
        return new DumpPlan(view, header, runs, patches ?? []);
    }

    /// <summary>8 MiB with every kind of neighbourhood of zero and other pages.</summary>
    private static ArrayMemory RandomMemory(bool maps)
    {
        var bytes = new byte[8 << 20];
        var random = new Random(42);
        random.NextBytes(bytes);
        for (var page = 0; page < bytes.Length; page += Page.Size)
        {
            if (random.Next(3) == 0)
                bytes.AsSpan(page, Page.Size).Clear();
        }
        return new ArrayMemory(bytes, [new(new(0), 0xA0000), new(new(0x100000), 0x700000)], maps);
    }

    private static byte[] Fill(int length) => Enumerable.Repeat((byte)0xEE, length).ToArray();

    private static long AllocatedBytes(string path)
    {
        using var du = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("stat", ["-c", "%b", path]) { RedirectStandardOutput = true })!;
        return long.Parse(du.StandardOutput.ReadToEnd()) * 512;
    }

    private sealed class Inline(Action<DumpProgress> report) : IProgress<DumpProgress>
    {
        public void Report(DumpProgress value) => report(value);
    }
}
