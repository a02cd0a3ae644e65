using System.Diagnostics;
using Forengate.Memory;
using Forengate.Testing.Devices;

namespace Forengate.Guests.Tests;

/// <summary>A stopped guest's memory is copied by our own mapping of its backend, or as far as the host has pages: what that must not do.</summary>
public sealed class SharedCopyTests
{
    private const ulong Mebibyte = 1 << 20;
    private const int Size = 96;
    private static readonly CancellationToken Ct = CancellationToken.None;

    [Fact]
    public void A_backend_that_is_cut_gives_missing_pages_and_ends_nobody()
    {
        const int Kept = 32;
        using var file = new SharedFile();
        using var qemu = new TestQemu(Machine(file.Path));
        qemu.WaitForStamps();
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var source = new LiveMemory(session.Map, session.Process, standing: false);
        qemu.Referee.Stop(Ct);
        using var copy = CopiedMemory.Prepare(session.Map.Ranges, new CopyRoom(session.Map.Size, 0, null, 0), 2, null, Ct)!;
        CopiedMemory.MakeReady(source, session.Map, 2, Ct);
        using (var cut = File.OpenWrite(file.Path))
            cut.SetLength(Kept << 20);

        Assert.True(copy.CopyFrom(source, session.Map, 2, null, Ct));

        Assert.Equal((int)((Size - Kept) * Mebibyte / Page.Size), copy.MissingPages);
        Assert.Equal(PageState.Missing, copy.StateOf(new PhysicalAddress(Kept * Mebibyte)));
        Assert.Equal(PageState.Present, copy.StateOf(new PhysicalAddress((Kept * Mebibyte) - Page.Size)));
    }

    [Fact]
    public void Holes_of_a_backend_stay_holes()
    {
        using var file = new SharedFile();
        using var qemu = new TestQemu(Machine(file.Path));
        qemu.WaitForStamps();
        qemu.Referee.Stop(Ct);
        var before = file.Blocks();
        using (var session = GuestSession.Open(qemu.Target, null, Ct))
        using (var source = new LiveMemory(session.Map, session.Process, standing: false))
        using (var copy = CopiedMemory.Prepare(session.Map.Ranges, new CopyRoom(session.Map.Size, 0, null, 0), 2, null, Ct)!)
        {
            CopiedMemory.MakeReady(source, session.Map, 2, Ct);
            Assert.True(copy.CopyFrom(source, session.Map, 2, null, Ct));
            Assert.Equal(0, copy.MissingPages);
            Assert.InRange(before, 1, Size * (long)Mebibyte / 512 / 2);
            Assert.Equal(before, file.Blocks());
            Compare(qemu, copy);
        }
    }

    /// <summary>After a snapshot they are there, as the one page of zeros that all share.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Pages_that_anonymous_memory_never_had_are_zeros(bool afterSnapshot)
    {
        using var qemu = new TestQemu("-M", "q35", "-m", $"{Size}", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        if (afterSnapshot)
            LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct).Dispose();
        qemu.Referee.Stop(Ct);
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var source = new LiveMemory(session.Map, session.Process, standing: false);
        using var copy = CopiedMemory.Prepare(session.Map.Ranges, new CopyRoom(session.Map.Size, 0, null, 0), 2, null, Ct)!;
        CopiedMemory.MakeReady(source, session.Map, 2, Ct);
        Assert.True(copy.CopyFrom(source, session.Map, 2, null, Ct));
        Assert.Equal(0, copy.MissingPages);
        Compare(qemu, copy);
    }

    /// <summary>Its threads are there before the guest is stopped; what they copied then would be of no instant.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_copy_waits_until_it_is_told_to_begin(bool begins)
    {
        using var qemu = new TestQemu("-M", "q35", "-m", $"{Size}", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        qemu.Referee.Stop(Ct);
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var source = new LiveMemory(session.Map, session.Process, standing: false);
        using var copy = CopiedMemory.Prepare(session.Map.Ranges, new CopyRoom(session.Map.Size, 0, null, 0), 2, null, Ct)!;
        CopiedMemory.MakeReady(source, session.Map, 2, Ct);
        using var copying = BackgroundCopy.Prepare(copy, source, session.Map, 2, null, Ct);
        Thread.Sleep(100);
        Assert.Equal(0UL, source.CopiedBytes);
        if (begins)
        {
            copying.Begin();
            Assert.True(copying.Wait());
            Assert.True(copying.Took > TimeSpan.Zero);
            Compare(qemu, copy);
        }
        copying.Dispose();
        Assert.Equal(begins, source.CopiedBytes != 0);
    }

    /// <summary>What a guest gives back after the first copy has no pages any more when it is stopped: in the copy it must not stay what it was.</summary>
    [Theory]
    [InlineData("ram", 0)]
    [InlineData("memfd", 0)]
    [InlineData("ram", 64)]
    [InlineData("memfd", 64)]
    public void A_first_copy_leaves_nothing_of_itself(string backend, int spilled)
    {
        const ulong Given = 64 * Mebibyte;
        const int Pages = 1024;
        using var qemu = BalloonTests.Start(backend);
        using var bus = PlugTests.Bus(qemu);
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var source = new LiveMemory(session.Map, session.Process, standing: false);
        var room = new CopyRoom(spilled == 0 ? session.Map.Size : (session.Map.Size / SpillFile.Block * SpillFile.Block) - ((ulong)spilled * Mebibyte), 0, null, 0);
        if (spilled != 0)
            room = room with { Spilled = SpillFile.RoundUp(session.Map.Size - room.Memory), Folder = "/var/tmp" };
        using var copy = CopiedMemory.Prepare(session.Map.Ranges, room, 2, null, Ct)!;
        CopiedMemory.MakeReady(source, session.Map, 2, Ct);
        for (var page = Given; page < Given + Pages * Page.Size; page += Page.Size)
            bus.Write64(page + 8, page | 1);

        copy.CopyAhead(source, session.Map, ballooned: false, 2, null, Ct);
        if (spilled == 0)
        {
            Assert.True(copy.TryRead(new PhysicalAddress(Given + 8), out ulong first));
            Assert.Equal(Given | 1, first);
        }
        new VirtioBalloon(bus, BalloonTests.DriverPage).Inflate((uint)(Given >> Page.Shift), Pages);
        qemu.Referee.Stop(Ct);
        Assert.True(copy.CopyFrom(source, session.Map, 2, null, Ct));

        Assert.Equal(0, copy.MissingPages);
        Compare(qemu, copy);
        Assert.True(copy.TryRead(new PhysicalAddress(Given + 8), out ulong value));
        Assert.Equal(0UL, value);
    }

    /// <summary>A kernel before 6.7 gives pages that are read entries, and those that a balloon holds are known by having none.</summary>
    [Theory]
    [InlineData(true, true, true)]
    [InlineData(true, false, true)]
    [InlineData(false, true, false)]
    [InlineData(false, false, true)]
    public void There_is_no_first_copy_where_it_would_hide_a_balloon(bool told, bool ballooned, bool copies)
    {
        using var qemu = BalloonTests.Start("ram");
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var source = new LiveMemory(session.Map, session.Process, standing: false);
        using var copy = CopiedMemory.Prepare(session.Map.Ranges, new CopyRoom(session.Map.Size, 0, null, 0), 2, null, Ct)!;
        CopiedMemory.MakeReady(source, session.Map, 2, Ct);
        Assert.Equal(Environment.OSVersion.Version >= new Version(6, 7), source.Absent!.AreTold);
        if (!told)
            source.Absent.Forget();
        copy.CopyAhead(source, session.Map, ballooned, 2, null, Ct);
        if (source.Absent.AreTold == told)
            Assert.Equal(copies, source.CopiedBytes != 0);
    }

    /// <summary>Everything of the copy, against what QEMU saves (which fills holes, and so comes last).</summary>
    private static void Compare(TestQemu qemu, CopiedMemory copy)
    {
        var bytes = new byte[Mebibyte];
        foreach (var range in copy.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Mebibyte)
            {
                var length = (int)Math.Min(Mebibyte, range.End - at);
                Assert.Equal(length, copy.Read(at, bytes.AsSpan(0, length)));
                Assert.True(bytes.AsSpan(0, length).SequenceEqual(qemu.Memory(at.Value, (ulong)length)), $"memory at {at}");
            }
        }
    }

    private static string[] Machine(string file) =>
        ["-M", "q35,memory-backend=m", "-m", $"{Size}", "-object", $"memory-backend-file,id=m,size={Size}M,share=on,mem-path={file}", "-kernel", "IMAGE"];

    /// <summary>A file in the host's memory that has a name.</summary>
    private sealed class SharedFile : IDisposable
    {
        public string Path { get; } = $"/dev/shm/forengate-copy-{Guid.NewGuid():N}";

        /// <summary>Of 512 bytes that the file has, by stat(1).</summary>
        public long Blocks()
        {
            using var stat = Process.Start(new ProcessStartInfo("stat", ["--format", "%b", Path]) { RedirectStandardOutput = true })!;
            var text = stat.StandardOutput.ReadToEnd();
            stat.WaitForExit();
            return long.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
        }

        public void Dispose() => File.Delete(Path);
    }
}
