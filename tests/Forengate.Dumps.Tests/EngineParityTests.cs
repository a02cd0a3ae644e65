using Forengate.Testing.Referee;

namespace Forengate.Dumps.Tests;

/// <summary>Where the debugger engine complains, check does; where check does not, the engine does not. What check sees beyond that is listed fault by fault.</summary>
public sealed class EngineParityTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void CheckAndEngineAgree()
    {
        DebuggerEngine.SkipUnlessAccepted();
        string PathOf(PlantedFaults fault) => _folder[fault.Name + ".dmp"];
        foreach (var fault in PlantedFaults.All)
            fault.Write(PathOf(fault));
        var verdicts = DebuggerEngine.JudgeAll([.. PlantedFaults.All.Select(PathOf)]);

        var wrong = new List<string>();
        for (var i = 0; i < verdicts.Count; i++)
        {
            var (fault, verdict) = (PlantedFaults.All[i], verdicts[i]);
            var report = DumpChecker.Check(PathOf(fault), null, TestContext.Current.CancellationToken);
            var engine = !verdict.Opened || verdict.Complaints.Count > 0;
            var check = report.Findings.Any(finding => finding.Severity >= (fault.Found == FoundFaulty.ByBoth ? CheckSeverity.Error : CheckSeverity.Warning));
            if (engine != (fault.Found == FoundFaulty.ByBoth) || check != (fault.Found != FoundFaulty.ByNone))
                wrong.Add($"{fault.Name}, found {fault.Found}:\n  engine: {string.Join("\n    ", verdict.Complaints)}\n  check: {string.Join("\n    ", report.Findings)}");
        }
        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
        Assert.Equal(PlantedFaults.All.Count, verdicts.Count);
    }

    [Fact]
    public void TheEngineShowsTheTruth()
    {
        var guest = new HandMadeGuest(processors: 8, encoded: true);
        var path = _folder["truth.dmp"];
        PlantedFaults.Dump(guest, null, path);
        var verdict = DebuggerEngine.Judge(path, EngineVerdict.ReadOf(HandMadeGuest.Kdbg, 0x40));

        Assert.Empty(verdict.Complaints);
        Assert.Equal(19041, verdict.Target.Build);
        Assert.Equal(8, verdict.Target.Processors);
        Assert.Equal(HandMadeGuest.Kernel, verdict.Target.KernelBase);
        Assert.Equal(HandMadeGuest.ModuleHead, verdict.Target.PsLoadedModuleList);
        Assert.Equal(TimeSpan.FromHours(1), verdict.Target.Uptime);
        Assert.Equal(DateTime.FromFileTimeUtc(133_000_000_000_000_000), verdict.Target.SessionTime);
        Assert.Equal(["nt", "hal", "kdcom"], verdict.Modules.Select(module => module.Name));
        Assert.Equal(guest.PlainKdbg[..0x40], verdict.Memory(HandMadeGuest.Kdbg, 0x40).Select(x => x!.Value));
        for (var i = 0; i < 8; i++)
        {
            Assert.Equal(HandMadeGuest.Kernel + 0x100 + (ulong)i, verdict.Registers[i]["rip"]);
            Assert.Equal(HandMadeGuest.Stack(i), verdict.Registers[i]["rsp"]);
            Assert.Equal(0xA0ul + (ulong)i, verdict.Registers[i]["rax"]);
            Assert.Equal(0x10ul, verdict.Registers[i]["cs"]);
        }
    }
}
