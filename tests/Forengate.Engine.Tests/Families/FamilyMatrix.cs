using Forengate.Dumps;
using Forengate.Lab.Machine;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Families;

/// <summary>
/// For one family, perhaps with further options for <c>twin make</c>: a live twin in each case is examined, dumped, checked, listed and opened by the debugger engine, and all of it must be the truth. A class a family, so that they run side by side.
/// </summary>
public abstract class FamilyMatrix(string family, params string[] more)
{
    public static TheoryData<FamilyCase> Cases => [.. FamilyCase.Chosen];

    [Theory, MemberData(nameof(Cases))]
    public void A_live_twin_is_examined_dumped_checked_and_listed(FamilyCase one)
    {
        using var twin = TwinGuest.Start(TwinImages.Get([.. one.MakeOptions(family), .. more]));
        var registers = twin.StopAndReadRegisters();
        var differences = new Differences();

        using (var live = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken))
            TruthCheck.Everything(differences, twin.Truth, live);
        differences.AssertNone();

        var dump = Path.Combine(TwinFolders.New(), "guest.dmp");
        try
        {
            DumpIsTrue(differences, twin, registers, dump);
        }
        finally
        {
            File.Delete(dump);
        }
        differences.AssertNone();
        // All that can be judged without the engine was, and held; a case that the first referee did not see is counted as skipped all the same.
        DebuggerEngine.SkipUnlessAccepted();
    }

    internal static void DumpIsTrue(Differences differences, TwinGuest twin, IReadOnlyList<CpuRegisters> registers, string dump)
    {
        var cancellation = TestContext.Current.CancellationToken;
        var outcome = DumpJob.Run(twin.Target, dump, new TargetOptions(), new DumpOptions(), null, cancellation);
        differences.None("gap", outcome.Result.Plan.Gaps);
        differences.None("disagreement", outcome.Result.Plan.Disagreements);
        differences.Expect("missing pages", 0UL, (ulong)outcome.Result.MissingPages);

        var report = DumpCheck.Of(dump, cancellation);
        differences.None("check", report.Findings.Where(finding => finding.Severity != CheckSeverity.Note).Select(finding => $"{finding.Code}: {finding.Text}"));
        differences.Expect("check: modules", twin.Truth.Drivers.Count(driver => !driver.Hidden), report.Modules);
        differences.Expect("check: processes", twin.Truth.Processes.Count(process => process.Listed), report.Processes);

        using (var opened = Examination.Open(dump, new TargetOptions(), null, cancellation))
            TruthCheck.Lists(differences, twin.Truth, opened, "dump");

        if (DebuggerEngine.Accepted)
            EngineCheck.Verdict(differences, twin.Truth, registers, DebuggerEngine.Judge(dump, EngineCheck.Questions(twin.Truth)));
    }
}

public sealed class Windows7() : FamilyMatrix("7601");

public sealed class Windows81() : FamilyMatrix("9600");

public sealed class Windows10Version1607() : FamilyMatrix("14393");

public sealed class Windows10Version1809() : FamilyMatrix("17763");

public sealed class Windows10Version2004() : FamilyMatrix("19041");

public sealed class WindowsServer2022() : FamilyMatrix("20348");

public sealed class WindowsServer2022FiveLevels() : FamilyMatrix("20348", "--levels", "5");

public sealed class Windows11() : FamilyMatrix("22000");
