using Forengate.Engine.Tests.Families;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>As many processors, processes and drivers as a twin can have.</summary>
public sealed class LargeGuestTests
{
    [Theory, InlineData("7601"), InlineData("22000")]
    public void Everything_is_found_and_listed(string family)
    {
        using var twin = TwinGuest.Start(TwinImages.Get(
            "--build", family, "--cpus", "64", "--cpu-modes", "mixed", "--processes", "5000", "--threads", "2", "--drivers", "200", "--hidden", "20", "--exited", "20", "--memory", "2048", "--low-memory", "1024"));
        twin.StopAndReadRegisters();
        var differences = new Differences();
        using (var live = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken))
            TruthCheck.Everything(differences, twin.Truth, live);
        differences.AssertNone();
    }
}
