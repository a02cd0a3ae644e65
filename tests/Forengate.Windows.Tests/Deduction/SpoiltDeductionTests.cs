using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Hostile;

namespace Forengate.Windows.Tests;

/// <summary>Kernels nobody knows, with bytes changed where deduction looks: nothing throws or hangs, and what is accepted all the same is true.</summary>
public sealed class SpoiltDeductionTests
{
    private static int Rounds => int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_FUZZ_ROUNDS"), out var rounds) ? rounds : 12;

    [Theory]
    [InlineData(7601)]
    [InlineData(17763)]
    [InlineData(22000)]
    public void NothingBreaksAndNothingWrongIsAccepted(int build)
    {
        var twin = TwinImage.Of($"--build {build} --seed 71 --shuffle 71 --memory 128 --cpus 2 --cpu-modes mixed --exited 6 --processes 60");
        using var view = twin.Open();
        var places = SpoiltTwinTests.Places(twin.Truth, view);
        var real = TestProfiles.Of(build).Profile;
        var unknown = DeductionTests.WithoutFamily(build);
        var wrong = new List<string>();
        Bounded.Run(
            ct =>
            {
                for (var round = 0; round < Rounds; round++)
                {
                    using var memory = new ChangedMemory(view.Memory);
                    SpoiltTwinTests.Spoil(memory, places, new Random((build * 1000) + round));
                    using var spoilt = new View(memory, view.Cpus, view.Consistency, view.Origin);
                    var found = WindowsSystem.Find(spoilt, unknown, ct);
                    if (found.System is { } system)
                        wrong.AddRange(DeductionTruth.Judge(twin.Truth, real, system.Profile).Wrong.Select(line => $"round {round}: {line}"));
                    else
                        Assert.False(string.IsNullOrWhiteSpace(found.Reason));
                }
            },
            allowance: 2L << 30, patience: TimeSpan.FromMinutes(5), describe: () => $"build {build}");
        Assert.Empty(wrong);
    }
}
