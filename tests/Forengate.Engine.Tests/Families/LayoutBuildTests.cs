using Forengate.Testing;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Families;

/// <summary>
/// Live twins of builds that are carried without globals: what deduction and the published layout give together must do for lists, a dump, our own check of it, and the debugger engine.
/// </summary>
public sealed class LayoutBuildTests
{
    [Theory]
    [InlineData("6.1.7601.17514", "off")]
    [InlineData("10.0.10240.16384", "off")]
    [InlineData("10.0.17134.1", "off")]
    [InlineData("10.0.19045.2965", "on")]
    [InlineData("10.0.22631.2428", "on")]
    public void A_live_twin_of_a_published_layout_is_listed_dumped_and_opened(string version, string shadow)
    {
        _ = RealData.PathOf("kernels/layouts.tar.zst");
        using var twin = TwinGuest.Start(TwinImages.Get("--build", version, "--cpus", "2", "--cpu-modes", "mixed", "--processes", "60", "--memory", "256", "--kva", shadow));
        var registers = twin.StopAndReadRegisters();
        var differences = new Differences();
        var dump = Path.Combine(TwinFolders.New(), "guest.dmp");
        using (var live = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken))
        {
            Assert.Contains($"layout of {version} (Vergilius Project), globals deduced", live.Windows.System!.KernelFacts.Single(fact => fact.Name == "profile").How, StringComparison.Ordinal);
            TruthCheck.Lists(differences, twin.Truth, live, "live");
        }
        try
        {
            FamilyMatrix.DumpIsTrue(differences, twin, registers, dump);
        }
        finally
        {
            File.Delete(dump);
        }
        differences.AssertNone();
        DebuggerEngine.SkipUnlessAccepted();
    }
}
