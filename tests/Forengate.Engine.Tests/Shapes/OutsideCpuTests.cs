using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Lab.Machine;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;
using Forengate.Windows;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>Guests with virtualization-based security, some or all of whose CPUs are caught in the secure kernel or the hypervisor: live, in a dump, and as the debugger engine sees that.</summary>
public sealed class OutsideCpuTests
{
    [Theory]
    [InlineData("19041", 4, 2, "mixed", "")]
    [InlineData("22000", 2, 2, "kernel", "")]
    [InlineData("20348", 2, 2, "kernel", "--levels 5")]
    [InlineData("17763", 2, 2, "kernel", "--kva off")]
    [InlineData("22000", 3, 1, "user", "--shuffle 7")]
    [InlineData("22000", 2, 2, "kernel", "--shuffle 8")]
    public void Windows_is_found_listed_and_dumped(string build, int cpus, int outside, string modes, string more)
    {
        using var twin = TwinGuest.Start(TwinImages.Get(
            ["--build", build, "--cpus", $"{cpus}", "--vbs", $"{outside}", "--cpu-modes", modes, "--memory", "192", .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries)]));
        var (differences, within) = (new Differences(), cpus - outside);
        using (var live = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken))
        {
            differences.Require("Windows is found", live.Windows.System is not null, live.Windows.Reason ?? "");
            var system = live.Windows.System!;
            TruthCheck.Kernel(differences, twin.Truth, system);
            TruthCheck.Lists(differences, twin.Truth, live, "live");
            differences.Expect("processors with a CPU", within, system.Processors.Count(processor => processor.Cpu is not null));
            differences.Expect("CPUs outside", string.Join(' ', Enumerable.Range(within, outside)), string.Join(' ', system.OutsideCpus.Order()));
            foreach (var cpu in twin.Truth.Cpus.Where(cpu => cpu.Index >= within))
            {
                var fact = system.KernelFacts.Single(fact => fact.Name == $"vCPU {cpu.Index}");
                differences.Require($"where CPU {cpu.Index} is", fact.Value!.Contains(cpu.Mode == "securekernel" ? "in the secure kernel" : "in the hypervisor", StringComparison.Ordinal), fact.Value);
            }
            differences.None("self-test", system.Proof.Checks.Where(check => check.Verdict == ProofVerdict.Failed).Select(check => check.Name));
        }
        Assert.Equal("running", twin.State);

        var dump = Path.Combine(TwinFolders.New(), "guest.dmp");
        var outcome = DumpJob.Run(twin.Target, dump, new TargetOptions(), new DumpOptions(), null, TestContext.Current.CancellationToken);
        differences.Expect("said of CPUs", outside, outcome.Result.Plan.Disagreements.Count(line => line.Contains("stands outside of Windows", StringComparison.Ordinal)));
        differences.Expect("processors without registers", outside, outcome.Result.Plan.Gaps.Count(line => line.Contains("no registers", StringComparison.Ordinal)));
        differences.Expect("check passes", true, DumpCheck.Of(dump, TestContext.Current.CancellationToken).Passed);
        using (var opened = Examination.Open(dump, new TargetOptions(), null, TestContext.Current.CancellationToken))
            TruthCheck.Lists(differences, twin.Truth, opened, "dump");
        if (DebuggerEngine.Accepted)
        {
            var verdict = DebuggerEngine.Judge(dump);
            differences.Require("engine opened the dump", verdict.Opened, verdict.Refusal ?? "no");
            differences.None("engine complains", verdict.Complaints);
            differences.Expect("engine: processors", cpus, verdict.Target.Processors);
            differences.Expect("engine: modules", twin.Truth.Drivers.Count(driver => !driver.Hidden), verdict.Modules.Count);
        }
        File.Delete(dump);
        differences.AssertNone();
    }
}
