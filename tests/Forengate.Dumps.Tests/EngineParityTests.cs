using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Testing.Referee;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps.Tests;

public sealed class EngineParityTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Explore()
    {
        DebuggerEngine.SkipUnlessAccepted();
        var names = PlantedFaults.All.Select(fault => fault.Name).ToList();
        foreach (var fault in PlantedFaults.All)
            fault.Write(_folder[fault.Name + ".dmp"]);
        var verdicts = DebuggerEngine.JudgeAll([.. names.Select(name => _folder[name + ".dmp"])]);
        for (var i = 0; i < names.Count; i++)
        {
            var report = DumpChecker.Check(_folder[names[i] + ".dmp"]);
            Console.WriteLine($"=== {names[i]}: opened {verdicts[i].Opened} {verdicts[i].Refusal} died {verdicts[i].Died}");
            foreach (var c in verdicts[i].Complaints)
                Console.WriteLine("   E " + c);
            foreach (var c in report.Findings)
                Console.WriteLine($"   C {c.Severity} {c.Code}: {c.Text}");
        }
    }
}
