using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>A snapshot leaves the guest the large pages that it had, and gives it none.</summary>
public sealed class LargePagesTests
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    [Fact]
    public void What_was_large_is_large_after_a_snapshot()
    {
        Require();
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        var before = Large(qemu);
        Assert.NotEqual(0UL, before);
        var used = Used(qemu);
        for (var i = 0; i < 3; i++)
        {
            using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains("were put together again", StringComparison.Ordinal));
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.InRange(Large(qemu), before, ulong.MaxValue);
        }
        // Protecting memory allocates nothing here, and putting pages together must not either.
        Assert.InRange(Used(qemu), 0UL, used + (16UL << 20));
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void A_guest_without_large_pages_gets_none()
    {
        using var qemu = new TestQemu(["-M", "q35,memory-backend=m", "-m", "96", "-object", "memory-backend-memfd,id=m,size=96M,share=on", "-kernel", "IMAGE"]);
        qemu.WaitForStamps();
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        var large = LargePages.Of(session.Map, session.Process);
        Assert.Equal(0UL, large.Bytes);
        Assert.Null(large.PutTogether(session.Map, session.Process, Ct));
    }

    private static void Require()
    {
        const string Switch = "/sys/kernel/mm/transparent_hugepage/enabled";
        if (!File.Exists(Switch) || File.ReadAllText(Switch).Contains("[never]", StringComparison.Ordinal))
            Assert.Skip("this host makes no transparent large pages");
        if (Environment.OSVersion.Version < new Version(6, 7))
            Assert.Skip("which pages are large is told by Linux 6.7 and later");
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("needs CAP_SYS_NICE");
    }

    private static ulong Large(TestQemu qemu)
    {
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        return LargePages.Of(session.Map, session.Process).Bytes;
    }

    private static ulong Used(TestQemu qemu) => 1024 * ulong.Parse(
        File.ReadLines($"/proc/{qemu.ProcessId}/smaps_rollup").First(line => line.StartsWith("Anonymous:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);
}
