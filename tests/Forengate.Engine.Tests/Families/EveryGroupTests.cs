using Forengate.Dumps;
using Forengate.Testing;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;
using Forengate.Testing.X86;

namespace Forengate.Engine.Tests.Families;

/// <summary>Which kinds of dumps and which commands work for which group of kernels: what is found by doing it must be the table in docs/kernels.md.</summary>
public sealed class EveryGroupTests : IDisposable
{
    private const string Yes = "yes", No = "declined", Carried = "carried", Layout = "carried without globals", Deduced = "deduced", Narrow = "32-bit";

    private readonly string _folder = TwinFolders.New();

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(Carried, "--build 17763")]
    [InlineData(Carried, "--build 22000")]
    [InlineData(Layout, "--build 6.1.7601.17514 --kva off")]
    [InlineData(Layout, "--build 10.0.10240.16384 --kva off")]
    [InlineData(Layout, "--build 10.0.17134.1 --kva off")]
    [InlineData(Layout, "--build 10.0.19045.2965")]
    [InlineData(Layout, "--build 10.0.22631.2428")]
    [InlineData(Deduced, "--build 20348 --hide-build")]
    [InlineData(Deduced, "--build 9600 --shuffle 5")]
    [InlineData(Deduced, "--build 19041 --shuffle 6")]
    public void EveryGroup_does_what_the_table_says(string group, string options)
    {
        if (group == Layout)
            _ = RealData.PathOf("kernels/layouts.tar.zst");
        var image = TwinImages.Get([.. options.Split(' '), "--cpus", "2", "--cpu-modes", "mixed", "--memory", "128"]);
        var core = In("core");
        var differences = new Differences();
        TwinTruth truth;
        using (var twin = TwinGuest.Start(image))
        {
            _ = twin.StopAndReadRegisters();
            truth = twin.Truth;
            twin.DumpByQemu(core, "elf");
        }
        using (var opened = Examination.Open(core, new TargetOptions(), null, Ct))
            TruthCheck.Lists(differences, truth, opened, group);
        var states = File.ReadAllBytes(Path.Combine(image, "pfn.bin"));
        var cells = Enum.GetValues<DumpKind>().Select(kind => Dumped(differences, core, kind, states, truth.Kernel.Base)).ToList();
        differences.AssertNone();
        InTable(group, [.. cells, Excluded(core, truth.Processes.First(process => process.Listed && process.Peb != 0).Name), Yes, Yes]);
    }

    [Theory]
    [InlineData(2600, false)]
    [InlineData(7601, true)]
    [InlineData(19045, true)]
    public void EveryGroup_of_32_bits_does_what_the_table_says(uint build, bool pae)
    {
        var core = In("core");
        X86Files.WriteElf(new X86Guest(X86Build.Of(build), pae), core);
        var differences = new Differences();
        var cells = Enum.GetValues<DumpKind>().Select(kind => Dumped(differences, core, kind, null, X86Guest.Kernel)).ToList();
        using var opened = Examination.Open(core, new TargetOptions(), null, Ct);
        foreach (var scan in new[] { false, true })
        {
            Assert.Equal(3, opened.Processes(scan, null, Ct).Items.Count);
            Assert.Equal(3, opened.Drivers(scan, null, Ct).Items.Count);
        }
        differences.AssertNone();
        InTable(Narrow, [.. cells, Excluded(core, "smss.exe"), Yes, opened.Processes(true, null, Ct).Warnings.Count == 0 && opened.Drivers(true, null, Ct).Warnings.Count == 0 ? Yes : No]);
    }

    /// <summary>Makes a dump of a kind, and has our own check and, where it may be used, the debugger engine judge it; declined in one line that says what to try is an answer, too.</summary>
    private string Dumped(Differences differences, string core, DumpKind kind, byte[]? states, ulong kernelBase)
    {
        var path = In($"{kind}.dmp");
        DumpOutcome outcome;
        try
        {
            outcome = DumpJob.Run(core, path, new TargetOptions(), new DumpOptions { Kind = kind }, null, Ct);
        }
        catch (DumpWriteException e)
        {
            differences.Require($"{kind}, declined in one line with what to do", !e.Message.Contains('\n') && e.Message.Contains("--type", StringComparison.Ordinal), e.Message);
            return No;
        }
        differences.None($"{kind}, check", DumpCheck.Of(path, Ct).Findings.Where(finding => finding.Severity == CheckSeverity.Error).Select(finding => finding.Text));
        if (kind == DumpKind.Active && states is not null)
        {
            // Zeroed, free, standby of pfn.bin: the state is in the low three bits, 0xFF is no page.
            var free = Enumerable.Range(0, 3).Select(location => (ulong)states.Count(state => state != 0xFF && (state & 7) == location)).Where(count => count != 0);
            differences.Expect($"{kind}, pages left out", string.Join(", ", free), string.Join(", ", outcome.Result.Plan.LeftOut.Select(left => left.Pages)));
        }
        if (DebuggerEngine.Accepted)
        {
            var verdict = DebuggerEngine.Judge(path);
            differences.Require($"{kind}, engine opened it", verdict.Opened, verdict.Refusal ?? verdict.Everything);
            differences.Expect($"{kind}, engine: kernel base", kernelBase, verdict.Target.KernelBase);
        }
        File.Delete(path);
        return Yes;
    }

    private string Excluded(string core, string process)
    {
        try
        {
            var outcome = DumpJob.Run(core, In("excluded.dmp"), new TargetOptions(), new DumpOptions { Exclude = [process] }, null, Ct);
            Assert.NotEmpty(outcome.Result.Plan.Excluded);
            return Yes;
        }
        catch (DumpWriteException e)
        {
            Assert.Contains("--exclude", e.Message, StringComparison.Ordinal);
            return No;
        }
    }

    private static void InTable(string group, IReadOnlyList<string> cells)
    {
        var row = $"| {group} | {string.Join(" | ", cells)} |";
        Assert.True(File.ReadLines(Checkout.PathOf("docs/kernels.md")).Contains(row), $"docs/kernels.md has not the row {row}");
    }

    private string In(string name) => Path.Combine(_folder, name);
}
