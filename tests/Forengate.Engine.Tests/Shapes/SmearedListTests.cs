using System.Globalization;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>Lists of a twin that runs and whose process list changes without pause: right, or said to be torn.</summary>
public sealed class SmearedListTests
{
    private const int DefaultListings = 200;

    private static readonly string[] s_image = ["--build", "19041", "--memory", "128", "--cpus", "2", "--processes", "60"];

    private static readonly TargetOptions s_live = new() { Consistency = CaptureChoice.Live };

    /// <summary>More by <c>FORENGATE_LISTINGS=2000</c>.</summary>
    private static int Listings => int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_LISTINGS"), NumberStyles.None, null, out var count) ? count : DefaultListings;

    [Fact]
    public void A_list_that_changes_without_pause_is_right_or_called_torn()
    {
        var ct = TestContext.Current.CancellationToken;
        using var twin = TwinGuest.Start(TwinImages.Get(s_image), new MachineOptions { Backend = RamBackend.File });
        Examination examination;
        var (settled, torn, again) = (0, 0, 0);
        using (examination = Examination.Open(twin.Target, s_live, null, ct))
        {
            var pids = twin.Truth.Processes.Where(process => process.Listed).Select(process => process.Pid).ToList();
            Assert.Equal(pids.Order(), examination.Processes(false, null, ct).Items.Select(process => (uint)process.Id).Order());
            using var churn = new ListChurn(twin, examination.Windows.System!);
            var steady = pids.Where(pid => pid != churn.First && pid != churn.Second).ToHashSet();
            for (var i = 0; i < Listings || churn.Changes < Listings; i++)
            {
                var listing = examination.Processes(false, null, ct);
                again += listing.Torn.ReadAgain;
                if (listing.Torn.Unresolved > 0 || listing.Warnings.Count > 0)
                {
                    Assert.NotEmpty(listing.Warnings);
                    torn++;
                    continue;
                }
                settled++;
                // What holds of the true list at every instant: all others once, and of the two that come and go always at least one.
                var seen = listing.Items.Select(process => (uint)process.Id).ToList();
                Assert.Equal(seen.Count, seen.Distinct().Count());
                Assert.Superset(steady, seen.ToHashSet());
                Assert.Contains(seen, pid => pid == churn.First || pid == churn.Second);
            }
        }
        Assert.True(again > 0, "no list was ever torn: the test shows nothing");
        Assert.True(settled > Listings / 4, $"{settled} of {Listings} settled, {torn} torn, read again {again} times");
        Assert.True(examination.Smear!.Torn.ReadAgain == again && examination.Smear.LevelName != "low");
        Assert.Contains(examination.Remarks, remark => remark.Contains("smear " + examination.Smear.LevelName, StringComparison.Ordinal) && remark.Contains("read again", StringComparison.Ordinal));
        TestContext.Current.SendDiagnosticMessage($"{settled} settled, {torn} torn, {again} walks done again");
    }

    [Fact]
    public void A_walk_done_once_sees_lists_that_never_were()
    {
        // Without this the test above would show nothing: the same churn deceives a plain walk, whose links are all right.
        var ct = TestContext.Current.CancellationToken;
        using var twin = TwinGuest.Start(TwinImages.Get(s_image), new MachineOptions { Backend = RamBackend.File });
        using var examination = Examination.Open(twin.Target, s_live, null, ct);
        using var churn = new ListChurn(twin, examination.Windows.System!);
        var until = Environment.TickCount64 + 30_000;
        while (Environment.TickCount64 < until)
        {
            if (churn.PlainWalk() is { } seen && !seen.Contains(churn.First) && !seen.Contains(churn.Second))
                return;
        }
        Assert.Fail("a plain walk was never deceived");
    }

    [Fact]
    public void A_twin_whose_lists_rest_scores_no_torn_list()
    {
        var ct = TestContext.Current.CancellationToken;
        using var twin = TwinGuest.Start(TwinImages.Get(s_image));
        Examination examination;
        using (examination = Examination.Open(twin.Target, s_live, null, ct))
        {
            Assert.Equal(twin.Truth.Processes.Count(process => process.Listed), examination.Processes(false, null, ct).Items.Count);
            Assert.Equal(twin.Truth.Drivers.Count(driver => !driver.Hidden), examination.Drivers(false, null, ct).Items.Count);
        }
        Assert.Equal(default, examination.Smear!.Torn);
        Assert.InRange(examination.Smear.PagesRead, 100UL, 100_000UL);
        Assert.Equal(examination.Smear.PagesRead, examination.Smear.PagesCompared);
    }
}
