using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>The same guest in machines of other shapes: its memory in other blocks, behind other mappings, beside memory that is not the guest's.</summary>
public sealed class MachineShapeTests
{
    public static TheoryData<string, MachineOptions> Machines => new()
    {
        { "two nodes", new MachineOptions { NumaNodes = 2 } },
        { "three nodes in shared memory", new MachineOptions { NumaNodes = 3, Backend = RamBackend.Memfd } },
        { "a shared memfd", new MachineOptions { Backend = RamBackend.Memfd } },
        { "a shared file", new MachineOptions { Backend = RamBackend.File } },
        { "a q35 with a display", new MachineOptions { Machine = "q35", Vga = true } },
        { "a thread each CPU", new MachineOptions { SingleThread = false } },
    };

    [Theory, MemberData(nameof(Machines), DisableDiscoveryEnumeration = true)]
    public void A_guest_that_runs_is_examined_and_dumped(string shape, MachineOptions machine)
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--cpus", "2", "--cpu-modes", "mixed", "--memory", "192", "--low-memory", "96"), machine);
        var differences = new Differences();
        using (var live = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken))
            TruthCheck.Everything(differences, twin.Truth, live);
        Assert.Equal("running", twin.State);

        var dump = Path.Combine(TwinFolders.New(), "guest.dmp");
        var outcome = DumpJob.Run(twin.Target, dump, new TargetOptions(), new DumpOptions(), null, TestContext.Current.CancellationToken);
        Assert.Equal("running", twin.State);
        differences.None($"{shape}, gap", outcome.Result.Plan.Gaps);
        differences.None($"{shape}, disagreement", outcome.Result.Plan.Disagreements);
        differences.Expect("check passes", true, DumpCheck.Of(dump, TestContext.Current.CancellationToken).Passed);
        using (var opened = Examination.Open(dump, new TargetOptions(), null, TestContext.Current.CancellationToken))
            TruthCheck.Lists(differences, twin.Truth, opened, shape);
        File.Delete(dump);
        differences.AssertNone();
    }
}
