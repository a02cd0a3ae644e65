using System.Buffers.Binary;
using Forengate.Dumps;
using Forengate.Engine.Tests.Referees;
using Forengate.Guests;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>What a guard writes of a real guest: the announced bugcheck, smaller kinds where there is no room, a hung guest that runs on.</summary>
public sealed class TwinDumpTests
{
    private const int CodeAt = 0x38, FirstParameterAt = 0x40;

    private static readonly string[] s_image = ["--build", "19041", "--memory", "128", "--cpus", "2", "--bugcheck", "D1,1,2,0,4"];

    [Fact]
    public void The_announced_bugcheck_is_the_headers_and_where_memory_differs_it_is_said()
    {
        using var twin = TwinGuest.Start(TwinImages.Get(s_image));
        twin.Machine.Qmp("stop");
        var alone = Write(twin, Panic(null), ulong.MaxValue);
        Assert.Equal(0xD1u, alone.Bugcheck.StopCode);
        Assert.Equal("KiBugCheckData", alone.Bugcheck.Origin);
        var agreeing = Write(twin, Panic(new BugcheckReport(0xD1, 1, 2, 0, 4, "Hyper-V")), ulong.MaxValue);
        Assert.Equal("Hyper-V", agreeing.Bugcheck.Origin);
        Assert.DoesNotContain(agreeing.Remarks, line => line.Contains("KiBugCheckData", StringComparison.Ordinal));
        Assert.Empty(agreeing.Gaps);
        var differing = Write(twin, Panic(new BugcheckReport(0x139, 3, 0xFFFFF80011223344, 5, 6, "Hyper-V")), ulong.MaxValue);
        Assert.Contains(differing.Remarks, line => line.Contains("0x139 (0x3, 0xfffff80011223344, 0x5, 0x6) by Hyper-V, 0xd1 (0x1, 0x2, 0x0, 0x4) by KiBugCheckData", StringComparison.Ordinal));
        Assert.EndsWith("_panic_139.dmp", differing.Path, StringComparison.Ordinal);
        using (var pages = new DumpPages(differing.Path))
        {
            Assert.Equal(0x139u, BinaryPrimitives.ReadUInt32LittleEndian(pages.Header[CodeAt..]));
            Assert.Equal(0xFFFFF80011223344, BinaryPrimitives.ReadUInt64LittleEndian(pages.Header[(FirstParameterAt + 8)..]));
        }
        // A guest that tells code 0 knows none.
        Assert.Equal(0xD1u, Write(twin, Panic(new BugcheckReport(0, 0, 0, 0, 0, "Hyper-V")), ulong.MaxValue).Bugcheck.StopCode);
        Assert.Equal("paused", twin.State);
    }

    [Fact]
    public void Where_there_is_no_room_smaller_kinds_are_written_and_then_none()
    {
        using var twin = TwinGuest.Start(TwinImages.Get(s_image));
        twin.Machine.Qmp("stop");
        var full = Write(twin, Panic(null), ulong.MaxValue);
        Assert.Equal(DumpKind.Full, full.Kind);
        var kernel = Write(twin, Panic(null), full.Bytes - 1);
        Assert.Equal(DumpKind.Kernel, kernel.Kind);
        Assert.Contains("no full dump: there is no room", kernel.Remarks[0], StringComparison.Ordinal);
        var small = Write(twin, Panic(null), kernel.Bytes - 1);
        Assert.Equal(DumpKind.Small, small.Kind);
        var none = Assert.Throws<NoRoomException>(() => Write(twin, Panic(null), small.Bytes - 1));
        Assert.Contains("no small dump: there is no room", none.Message, StringComparison.Ordinal);
        foreach (var dump in (WrittenDump[])[full, kernel, small])
        {
            var report = DumpCheck.Of(dump.Path, TestContext.Current.CancellationToken);
            Assert.DoesNotContain(report.Findings, finding => finding.Severity != CheckSeverity.Note);
            Assert.True(DumpMark.IsOn(dump.Path, GuestLabel.Of(GuestTarget.Parse(twin.Target))));
        }
    }

    [Fact]
    public void A_guest_that_only_hangs_is_dumped_and_runs_on()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "20348", "--memory", "128"));
        var dump = Write(twin, Panic(null) with { Kind = GuestAlarmKind.AgentSilent, Standing = GuestStanding.Runs }, ulong.MaxValue);
        Assert.True(dump.StoodStill > TimeSpan.Zero);
        Assert.Equal("running", twin.State);
        twin.Machine.Ping();
        Assert.True(DumpCheck.Of(dump.Path, TestContext.Current.CancellationToken).Passed);
    }

    private static GuestAlarm Panic(BugcheckReport? bugcheck) => ToldAlarms.Crash("any") with { Bugcheck = bugcheck };

    private static WrittenDump Write(TwinGuest twin, GuestAlarm alarm, ulong room)
    {
        var guest = GuestTarget.Parse(twin.Target);
        using var source = new ToldAlarms();
        var options = new GuardOptions { Folder = TwinFolders.New() };
        return new GuestDumper(options, new DumpRoom(() => room, 0), source).Write(new DumpOrder(alarm with { Target = guest }, guest, "panic"), TestContext.Current.CancellationToken);
    }
}
