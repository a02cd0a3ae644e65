using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Memory.Tests;

public sealed class CrashDumpImageTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void PagesFollowTheHeaderRunByRun()
    {
        Write([new(0x10, 2), new(0x100, 3)]);
        using var view = OpenView();

        Assert.Equal([new PhysicalRange(new(0x10000), 0x2000), new PhysicalRange(new(0x100000), 0x3000)], view.Memory.Ranges);
        Assert.Empty(view.Origin.Remarks);
        Assert.Equal(0, FirstByte(view, 0x10));
        Assert.Equal(1, FirstByte(view, 0x11));
        Assert.Equal(2, FirstByte(view, 0x100));
        Assert.Equal(4, FirstByte(view, 0x102));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new(0x12000)));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new(0xF000)));
        // A mapped span goes to the end of its run and no further, a read likewise.
        Assert.Equal(0x2000, view.Memory.Map(new(0x10000), 1 << 20).Length);
        Assert.Equal(0x1FFF, view.Memory.Read(new(0x10001), new byte[0x10000]));
    }

    [Fact]
    public void RunsThatTouchReadAsOne()
    {
        Write([new(0x10, 2), new(0x12, 1)]);
        using var view = OpenView();
        Assert.Equal([new PhysicalRange(new(0x10000), 0x3000)], view.Memory.Ranges);
        Assert.Equal(0x3000, view.Memory.Read(new(0x10000), new byte[0x3000]));
    }

    [Fact]
    public void TruncatedFileMissesItsLastPages()
    {
        Write([new(0x10, 2), new(0x100, 3)]);
        using (var file = File.OpenWrite(_path))
            file.SetLength(L.HeaderSize + (3 * Page.Size) + 100);
        using var view = OpenView();

        Assert.Equal(2, FirstByte(view, 0x100));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new(0x101000)));
        Assert.Equal(0x5000u, view.Memory.Size);
        Assert.Contains(view.Origin.Damage, remark => remark.Contains("0x2 of its 0x3 pages are missing, from physical address 0x101000 on", StringComparison.Ordinal));
    }

    [Fact]
    public void OverlapAndImpossibleRunsAreDamageAndWrongOrderIsTold()
    {
        Write([new(0x100, 2), new(0x10, 2), new(0x101, 2), new(ulong.MaxValue, 2), new(0x20, 0)]);
        using var view = OpenView();

        Assert.Equal([new PhysicalRange(new(0x10000), 0x2000), new PhysicalRange(new(0x100000), 0x3000)], view.Memory.Ranges);
        Assert.Equal(2, FirstByte(view, 0x10));
        // The run named first has the page, the rest of the other stays.
        Assert.Equal(1, FirstByte(view, 0x101));
        Assert.Equal(5, FirstByte(view, 0x102));
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("ascending order", StringComparison.Ordinal));
        Assert.Contains(view.Origin.Damage, remark => remark.Contains("overlaps run 1", StringComparison.Ordinal));
        Assert.Contains(view.Origin.Damage, remark => remark.Contains("run 4 is no possible memory", StringComparison.Ordinal));
        Assert.Contains("run 5 has no pages", view.Origin.Remarks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("PAGEDU64")]
    [InlineData("MZ and so on")]
    public void WhatIsNoDumpSaysSo(string content)
    {
        File.WriteAllText(_path, content);
        var error = Assert.Throws<ImageFormatException>(() => CrashDumpImage.Open(_path));
        Assert.Contains(_path, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    /// <summary>Seeded: headers with random damage never crash, hang or allocate much, and never give bytes that are not the file's.</summary>
    [Fact]
    public void MutatedHeadersAreHarmless()
    {
        Write([new(0x10, 2), new(0x100, 3), new(0x200, 4)]);
        var good = File.ReadAllBytes(_path);
        var random = new Random(20_260_101);
        ulong[] wild = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, ulong.MaxValue, 1UL << 40, (1UL << 40) - 1, 1UL << 52, 1UL << 63, CrashDumpHeader64.LongFiller];
        var opened = 0;
        for (var round = 0; round < 400; round++)
        {
            var bytes = (byte[])good.Clone();
            for (var i = random.Next(1, 8); i > 0; i--)
            {
                var at = random.Next(2) == 0 ? L.PhysicalMemoryBlock + (8 * random.Next(10)) : 8 * random.Next(1, (L.HeaderSize / 8) - 1);
                BitConverter.TryWriteBytes(bytes.AsSpan(at), random.Next(2) == 0 ? wild[random.Next(wild.Length)] : (ulong)random.NextInt64());
            }
            File.WriteAllBytes(_path, bytes.AsSpan(0, random.Next(4) == 0 ? random.Next(bytes.Length) : bytes.Length));
            View view;
            try
            {
                view = OpenView();
            }
            catch (ImageFormatException)
            {
                continue;
            }
            opened++;
            using (view)
            {
                var before = GC.GetAllocatedBytesForCurrentThread();
                foreach (var range in view.Memory.Ranges)
                {
                    Assert.True(range.End.Value >= range.Start.Value);
                    var span = view.Memory.Map(range.Start, 1 << 20);
                    Assert.True(span.Length <= good.Length);
                    _ = view.Memory.StateOf(range.End);
                    _ = view.Memory.Read(range.Start + (range.Length / 2), new byte[64]);
                }
                Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20);
            }
        }
        Assert.True(opened > 100);
    }

    [Fact]
    public void CountBeyondTheHeaderIsNotBelieved()
    {
        Write([new(0x10, 2), new(0x100, 3)]);
        var bytes = File.ReadAllBytes(_path);
        BitConverter.TryWriteBytes(bytes.AsSpan(L.NumberOfRuns), CrashDumpHeader64.Filler);
        File.WriteAllBytes(_path, bytes);
        using var view = OpenView();
        Assert.Equal([new PhysicalRange(new(0x10000), 0x2000), new PhysicalRange(new(0x100000), 0x3000)], view.Memory.Ranges);
        Assert.Contains("only 42 fit", Assert.Single(view.Origin.Damage), StringComparison.Ordinal);
    }

    private View OpenView() => ImageReader.Open(_path);

    private static byte FirstByte(View view, ulong frame)
    {
        Assert.True(view.Memory.TryRead(PhysicalAddress.FromFrame(frame), out byte value));
        return value;
    }

    /// <summary>Each page is filled with its own number in the file.</summary>
    private void Write(CrashDumpRun[] runs)
    {
        var pages = runs.Aggregate(0UL, (sum, run) => sum + (run.IsPossible ? run.PageCount : 0));
        var bytes = new byte[L.HeaderSize + (int)(pages << Page.Shift)];
        var writer = new CrashDumpHeaderWriter64(bytes);
        writer.Dword(L.DumpType, (uint)CrashDumpType.Full);
        writer.Runs(runs);
        writer.Qword(L.NumberOfPages, pages);
        for (var i = 0; i < (int)pages; i++)
            bytes.AsSpan(L.HeaderSize + (i * Page.Size), Page.Size).Fill((byte)i);
        File.WriteAllBytes(_path, bytes);
    }
}
