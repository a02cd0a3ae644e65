using Forengate.Memory;
using Forengate.Testing.Referee;

namespace Forengate.Dumps.Tests;

/// <summary>Bitmap dumps: the pages that there are, byte for byte, and none that there are not.</summary>
public sealed class BitmapDumpTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void MissingPagesAreLeftOutAndZeroPagesAreKept(bool maps)
    {
        var guest = new HandMadeGuest();
        var whole = guest.Memory();
        var memory = new ArrayMemory(whole.Bytes, whole.Ranges, maps);
        // Free memory of the guest: at the edges of bytes and words of the bitmap, and the last page of all.
        ulong[] lost = [0xE00, 0xE07, 0xE08, 0xE40, 0xE41, 0xE42, 0xFFF];
        foreach (var frame in lost)
            memory.States[frame] = frame == 0xE08 ? PageState.Ballooned : PageState.Missing;
        memory.States[0xE80] = PageState.Zero;
        var plan = DumpPlan.For(guest.Facts(memory), new DumpOptions { Kind = DumpKind.Bitmap });
        var path = _folder["bitmap.dmp"];
        var result = DumpWriter.Write(plan, path, null, TestContext.Current.CancellationToken);

        // What the guest gave back is left out, and nothing that should be there.
        Assert.Equal((ulong)lost.Length - 1, result.MissingPages);
        Assert.Contains(new PhysicalRange(PhysicalAddress.FromFrame(0xE40), 3 * Page.Size), result.MissingRanges);
        Assert.Equal(result.Bytes, (ulong)new FileInfo(path).Length);
        Assert.Equal(plan.Runs.Aggregate(0UL, (sum, run) => sum + run.PageCount) - (ulong)lost.Length, result.Pages);
        using (var view = ImageReader.Open(path))
        {
            Assert.Equal("Windows crash dump, 64-bit full bitmap", view.Origin.Format);
            Assert.Empty(view.Origin.Damage);
            byte[] a = new byte[Page.Size], b = new byte[Page.Size];
            foreach (var run in plan.Runs)
            {
                for (var frame = run.BasePage; frame < run.BasePage + run.PageCount; frame++)
                {
                    var at = PhysicalAddress.FromFrame(frame);
                    if (lost.Contains(frame))
                    {
                        Assert.Equal(PageState.Missing, view.Memory.StateOf(at));
                        continue;
                    }
                    Assert.True(plan.Memory.TryRead(at, a) && view.Memory.TryRead(at, b) && a.AsSpan().SequenceEqual(b), $"page 0x{frame:x}");
                }
            }
        }
        var report = DumpChecker.Check(path);
        Assert.Empty(report.Findings);
        Assert.Equal("64-bit full bitmap dump", report.Kind);
        Assert.Equal(3, report.Modules);

        using var stream = new MemoryStream();
        DumpWriter.Write(plan, stream, "-", null, TestContext.Current.CancellationToken);
        Assert.True(File.ReadAllBytes(path).AsSpan().SequenceEqual(stream.ToArray()));
    }

    [Fact]
    public void RunsAreWhatWindowsCallsMemoryHoweverLittleIsThere()
    {
        IReadOnlyList<PhysicalRange> block = [new(new(0x1000), 0x9E000), new(new(0x100000), 0xF00000)];
        var pieces = Enumerable.Range(0, 100).Select(i => new PhysicalRange(new(0x100000 + ((ulong)i * 0x3000)), 0x1000)).ToList();
        var expected = new CrashDumpRun[] { new(1, 0x9E), new(0x100, 0xF00) };
        Assert.Equal(expected, RunPlan.Make(pieces, block, DumpKind.Bitmap).Runs);
        // More pieces than a header holds: a complete dump has zeros between them.
        Assert.Equal(expected, RunPlan.Make(pieces, block).Runs);
        Assert.NotEmpty(RunPlan.Make(pieces, block).Gaps);
        Assert.Equal([new CrashDumpRun(0x100, 1)], RunPlan.Make(pieces[..1], block).Runs);
    }

    [Fact]
    public void CountsOfTheBitmapAreChecked()
    {
        var path = _folder["wrong.dmp"];
        DumpWriter.Write(DumpPlan.For(new HandMadeGuest().Facts(), new DumpOptions { Kind = DumpKind.Bitmap }), path);
        var file = File.ReadAllBytes(path);
        Finds(CheckCode.RunSum, bytes => bytes[CrashDumpLayout64.HeaderSize + CrashDumpBitmapLayout.Pages]++);
        Finds(CheckCode.Runs, bytes => bytes[CrashDumpLayout64.HeaderSize]++);
        Finds(CheckCode.Truncated, bytes => { }, file.Length - 0x5000);
        Finds(CheckCode.Filler, bytes => PlantedFaults.Letters(bytes, CrashDumpLayout64.Attributes, 4));

        void Finds(string code, Action<byte[]> plant, int? length = null)
        {
            var bytes = (byte[])file.Clone();
            plant(bytes);
            File.WriteAllBytes(path, bytes.AsSpan(0, length ?? bytes.Length));
            Assert.Contains(DumpChecker.Check(path).Findings, finding => finding.Severity == CheckSeverity.Error && finding.Code == code);
        }
    }

    [Fact]
    public void TheEngineShowsTheSameTruthAsOfACompleteDump()
    {
        DebuggerEngine.SkipUnlessAccepted();
        var guest = new HandMadeGuest(processors: 4, encoded: true);
        var memory = guest.Memory();
        memory.States[0xE00] = memory.States[0xE40] = PageState.Missing;
        string[] paths = [_folder["full.dmp"], _folder["bitmap.dmp"]];
        DumpWriter.Write(DumpPlan.For(guest.Facts(memory), DumpOptions.Default), paths[0]);
        DumpWriter.Write(DumpPlan.For(guest.Facts(memory), new DumpOptions { Kind = DumpKind.Bitmap }), paths[1]);
        var verdicts = DebuggerEngine.JudgeAll(paths, EngineVerdict.ReadOf(HandMadeGuest.Kdbg, 0x40));

        Assert.Empty(verdicts[1].Complaints);
        Assert.Contains("Kernel Bitmap Dump File: Full address space is available", verdicts[1].Opening, StringComparison.Ordinal);
        Assert.Equal("64 bit Kernel Bitmap Dump", verdicts[1].Header.Kind);
        Assert.Equal(verdicts[0]["vertarget"], verdicts[1]["vertarget"]);
        Assert.Equal(verdicts[0]["lm"], verdicts[1]["lm"]);
        Assert.Equal(verdicts[0].Memory(HandMadeGuest.Kdbg, 0x40), verdicts[1].Memory(HandMadeGuest.Kdbg, 0x40));
        Assert.Equal(verdicts[0].Registers.SelectMany(one => one), verdicts[1].Registers.SelectMany(one => one));
    }
}
