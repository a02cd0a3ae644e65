using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>A guest larger than the host's free memory is copied to a disk, or refused before it is touched.</summary>
public sealed class SpillTests : IDisposable
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    // The least that can be worked with, and a little more: the guests here have 96 MiB.
    private const ulong Nothing = CopyRoom.Reserve + CopyRoom.Staging;
    private const ulong Some = Nothing + (16UL << 20);

    /// <summary>On a disk, as the folder for temporary files need not be.</summary>
    private readonly string _folder = Directory.CreateDirectory(Path.Combine("/var/tmp", Path.GetRandomFileName())).FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private CaptureOptions Options(CaptureMode mode, ulong available) => TestQemu.Options(mode) with { AvailableMemory = available, SpillFolder = _folder };

    [Theory]
    [InlineData("anonymous", CaptureMode.Snapshot, Nothing)]
    [InlineData("anonymous", CaptureMode.Snapshot, Some)]
    [InlineData("anonymous", CaptureMode.StopAndCopy, Nothing)]
    [InlineData("anonymous", CaptureMode.StopAndCopy, Some)]
    [InlineData("numa", CaptureMode.StopAndCopy, Some)]
    public void What_memory_has_no_room_for_is_spilled_and_is_of_one_instant(string backend, CaptureMode mode, ulong available)
    {
        using var qemu = new TestQemu(SnapshotTests.Machine(backend));
        qemu.WaitForStamps();
        using (var view = LiveCapture.Take(qemu.Target, Options(mode, available), null, Ct))
        {
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.Contains(view.Origin.Remarks, r => r.Contains($"spilled to {_folder}", StringComparison.Ordinal) && r.Contains("MB/s", StringComparison.Ordinal));
            // It has no name: nothing stays behind whatever ends us.
            Assert.Empty(Directory.EnumerateFileSystemEntries(_folder));
            // What does not change is as QEMU itself writes it.
            var code = new byte[0x4000];
            Assert.Equal(code.Length, view.Memory.Read(new PhysicalAddress(BareGuest.LoadAddress), code));
            Assert.Equal(qemu.Memory(BareGuest.LoadAddress, 0x4000), code);
        }
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void The_plan_says_where_and_how_fast_and_what_it_costs_the_guest()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        var plan = LiveCapture.Plan(qemu.Target, Options(CaptureMode.Auto, Some), Ct);
        Assert.Equal(CaptureMode.Snapshot, plan.Mode);
        Assert.All(plan.Ways.Take(2), way => Assert.Equal((_folder, 80UL << 20), (way.SpillFolder, way.Spilled)));
        Assert.Contains(plan.Facts, fact => fact.Contains($"80 MiB are spilled to {_folder}", StringComparison.Ordinal));
        var plenty = LiveCapture.Plan(qemu.Target, Options(CaptureMode.StopAndCopy, 1UL << 40), Ct);
        Assert.All(plenty.Ways, way => Assert.Equal(0UL, way.Spilled));
        // The disk's time is part of the pause.
        var stop = plan.Ways[1];
        Assert.True(stop.Pause > TimeSpan.FromSeconds(stop.Spilled / stop.SpillSpeed), $"{stop.Pause} at {stop.SpillSpeed}");
        var refused = LiveCapture.Plan(qemu.Target, Options(CaptureMode.StopAndCopy, Some) with { MaxPause = plenty.Ways[1].Pause * 0.5 }, Ct);
        Assert.Null(refused.Mode);
        Assert.Null(qemu.Referee.LastStopByEvents);
    }

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    [InlineData(CaptureMode.Auto)]
    public void A_disk_without_room_is_refused_before_the_guest_is_touched(CaptureMode mode)
    {
        using var disk = TestDisk.File(40);
        AssertUntouched(disk.Folder, GuestFailure.NoDisk, "MiB free for", Options(mode, Some) with { SpillFolder = disk.Folder });
    }

    [Fact]
    public void Memory_is_no_place_to_spill_to() => AssertUntouched("/dev/shm", GuestFailure.NoDisk, "memory itself", Options(CaptureMode.Auto, Some) with { SpillFolder = "/dev/shm" });

    [Fact]
    public void Too_little_memory_even_to_spill_is_refused() =>
        AssertUntouched("host memory", GuestFailure.NoMemory, "too little even", Options(CaptureMode.Auto, Nothing - 1));

    [Fact]
    public void Room_is_left_for_the_output_on_the_same_disk()
    {
        using var disk = TestDisk.File(140);
        var options = Options(CaptureMode.StopAndCopy, Some) with { SpillFolder = disk.Folder };
        AssertUntouched(disk.Folder, GuestFailure.NoDisk, "the output's 96 MiB", options with { OutputFolder = disk.Folder });
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        using var view = LiveCapture.Take(qemu.Target, options with { OutputFolder = "/dev/shm" }, null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    [Fact]
    public void An_output_in_memory_is_spilled_elsewhere()
    {
        var room = CopyRoom.Find(96 << 20, 0, 0, Options(CaptureMode.Auto, Some) with { SpillFolder = null, OutputFolder = "/dev/shm" }, out var obstacle);
        Assert.Null(obstacle);
        Assert.Equal("/var/tmp", room!.Folder);
        Assert.True(room.BytesPerSecond > 0);
    }

    private static void AssertUntouched(string named, GuestFailure failure, string reason, CaptureOptions options)
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, options, null, Ct));
        Assert.Equal(failure, e.Failure);
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
        Assert.Null(qemu.Referee.LastStopByEvents);
        Assert.Null(SnapshotTests.Status(qemu));
        Assert.True(qemu.IsRunning);
    }
}
