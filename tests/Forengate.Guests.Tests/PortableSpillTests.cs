using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>By libvirt's own means, too, a guest larger than the host's free memory goes to a disk, or is refused before it is touched; and a disk that hangs does not keep it standing.</summary>
public sealed class PortableSpillTests(PortableLibvirt libvirt) : IClassFixture<PortableLibvirt>
{
    private const ulong Least = CopyRoom.Reserve + CopyRoom.Staging;

    private static readonly CancellationToken Ct = CancellationToken.None;

    private CaptureOptions Options(CaptureMeans means, string folder, ulong available = Least) => libvirt.Options(CaptureMode.Auto, means) with { AvailableMemory = available, SpillFolder = folder };

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    public void What_memory_has_no_room_for_is_spilled_and_is_of_one_instant(CaptureMeans means)
    {
        var target = libvirt.Start("portable-spilled-" + means.ToString().ToLowerInvariant());
        libvirt.WaitForStamps(target);
        var folder = Directory.CreateDirectory(Path.Combine("/var/tmp", Path.GetRandomFileName())).FullName;
        try
        {
            var plan = LiveCapture.Plan(target, Options(means, folder), Ct);
            var way = plan.Ways.Single(way => way.Mode == plan.Mode);
            Assert.Equal((folder, 96UL << 20), (way.SpillFolder, way.Spilled));
            Assert.True(way.Pause > TimeSpan.FromSeconds(way.Spilled / way.SpillSpeed), $"{way.Pause} at {way.SpillSpeed}");
            Assert.Contains(plan.Facts, fact => fact.Contains($"96 MiB are spilled to {folder}", StringComparison.Ordinal));
            using (var view = LiveCapture.Take(target, Options(means, folder), null, Ct))
            {
                Assert.Empty(view.Origin.Damage);
                Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
                Assert.Equal(means == CaptureMeans.Peek ? ConsistencyLevel.MemoryOnly : ConsistencyLevel.Instant, view.Consistency.Level);
                Assert.Contains(view.Origin.Remarks, r => r.Contains($"spilled to {folder}", StringComparison.Ordinal));
                Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
                var code = new byte[0x1C0];
                Assert.Equal(code.Length, view.Memory.Read(new PhysicalAddress(BareGuest.LoadAddress + 0x40), code));
                Assert.Equal(BareGuest.Image()[0x40..(0x40 + code.Length)], code);
            }
            libvirt.AssertRuns(target);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
            libvirt.Stop(target);
        }
    }

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    public void Where_there_is_no_room_the_guest_is_not_touched(CaptureMeans means)
    {
        var target = libvirt.Start("portable-roomless-" + means.ToString().ToLowerInvariant());
        libvirt.WaitForStamps(target);
        using (var disk = TestDisk.File(40))
            AssertRefused(Options(means, disk.Folder), GuestFailure.NoDisk, "MiB free for");
        AssertRefused(Options(means, "/dev/shm"), GuestFailure.NoDisk, "memory itself");
        AssertRefused(Options(means, "/var/tmp", Least - 1), GuestFailure.NoMemory, "too little even");
        libvirt.AssertRuns(target);
        libvirt.Stop(target);

        void AssertRefused(CaptureOptions options, GuestFailure failure, string reason)
        {
            var e = Assert.Throws<GuestException>(() => LiveCapture.Take(target, options, null, Ct));
            Assert.Equal(failure, e.Failure);
            Assert.Contains(reason, e.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', e.Message);
            Assert.DoesNotContain(LiveCapture.Plan(target, options, Ct).Mode, new CaptureMode?[] { CaptureMode.LibvirtDump, CaptureMode.LibvirtPeek });
        }
    }

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    public void A_disk_that_hangs_ends_it_and_the_guest_runs(CaptureMeans means)
    {
        using var disk = TestDisk.File(1024);
        var target = libvirt.Start("portable-frozen-" + means.ToString().ToLowerInvariant(), mebibytes: 256);
        libvirt.WaitForStamps(target);
        try
        {
            var e = Assert.Throws<GuestException>(() => LiveCapture.Take(target, Options(means, disk.Folder), new AtCopying(disk.Freeze), Ct));
            Assert.Equal(GuestFailure.NoDisk, e.Failure);
            libvirt.AssertRuns(target);
        }
        finally
        {
            disk.Thaw();
            libvirt.Stop(target);
        }
    }

    private sealed class AtCopying(Action action) : IProgress<CaptureProgress>
    {
        private int _done;

        public void Report(CaptureProgress value)
        {
            if (value.Phase == CapturePhase.Copying && Interlocked.Exchange(ref _done, 1) == 0)
                action();
        }
    }
}
