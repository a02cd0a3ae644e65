using System.Diagnostics;
using Forengate.Testing;
using Forengate.Testing.Referee;

namespace Forengate.Dumps.Tests;

/// <summary>The debugger engine with the PDB of the twin's kernel: it takes the file for the kernel's own, and shows names, types and objects in our dump.</summary>
public sealed class TwinSymbolsTests
{
    [Fact]
    public void The_debugger_resolves_names_and_types_in_a_dump_of_ours()
    {
        DebuggerEngine.SkipUnlessAccepted();
        using var twin = new Twin(["--build", "19041", "--memory", "128", "--drivers", "6", "--processes", "12"]);
        var path = twin["twin.dmp"];
        using (var view = twin.OpenView())
            DumpWriter.Write(DumpPlan.For(Twin.Find(view)), path, null, TestContext.Current.CancellationToken);
        var folder = Directory.CreateDirectory(twin["symbols"]).FullName;
        using (var writer = Process.Start(Checkout.PathOf("twin"), ["pdb", twin["twin"], "--out", Path.Combine(folder, "ntkrnlmp.pdb")]))
        {
            writer.WaitForExit();
            Assert.Equal(0, writer.ExitCode);
        }

        const string listHead = "x nt!PsActiveProcessHead", links = "dt nt!_LIST_ENTRY", system = "dt nt!_EPROCESS poi(nt!PsInitialSystemProcess) ImageFileName UniqueProcessId Pcb.DirectoryTableBase";
        var verdict = DebuggerEngine.Judge(path, $".sympath Z:{folder.Replace('/', '\\')}", ".reload /f nt", "lm", listHead, links, system);
        var truth = twin.Truth;
        var head = truth.GetProperty("globals").EnumerateArray().Single(global => global.GetProperty("name").GetString() == "PsActiveProcessHead");
        Assert.Contains("(pdb symbols)", verdict.Everything, StringComparison.Ordinal);
        var va = Twin.Number(head.GetProperty("va"));
        Assert.Contains($"{va >> 32:x8}`{(uint)va:x8} nt!PsActiveProcessHead", verdict[listHead], StringComparison.Ordinal);
        Assert.Contains("+0x000 Flink            : Ptr64 _LIST_ENTRY", verdict[links], StringComparison.Ordinal);
        Assert.Contains("+0x008 Blink            : Ptr64 _LIST_ENTRY", verdict[links], StringComparison.Ordinal);
        Assert.Contains("\"System\"", verdict[system], StringComparison.Ordinal);
        Assert.Contains("0x00000000`00000004", verdict[system], StringComparison.Ordinal);
        var dtb = Twin.Number(truth.GetProperty("processes").EnumerateArray().Single(process => process.GetProperty("pid").GetInt32() == 4).GetProperty("dtb"));
        Assert.Contains($"DirectoryTableBase     : 0x{dtb:x}", verdict[system], StringComparison.Ordinal);
    }
}
