using Forengate.Testing;
using Forengate.Testing.Referee;

namespace Forengate.House.Tests.Referee;

/// <summary>The debugger engine on dumps whose content is known from elsewhere.</summary>
public sealed class DebuggerEngineTests
{
    [Fact]
    public void Reads_a_real_triage_dump_as_its_origin_describes_it()
    {
        DebuggerEngine.SkipUnlessAccepted();
        var verdict = DebuggerEngine.Judge(RealData.PathOf("dumps/triage-win10-17134-arm64.dmp"));

        Assert.True(verdict.Opened);
        // A small dump carries the threads of some processors only, and `~Ns` says so.
        Assert.All(verdict.Complaints, line => Assert.StartsWith("Unable to read KTHREAD address", line, StringComparison.Ordinal));
        Assert.Equal(17134, verdict.Target.Build);
        Assert.Equal(8, verdict.Target.Processors);
        Assert.Equal("17134.1.arm64fre.rs4_release.180410-1804", verdict.Target.BuildLab);
        Assert.Equal(0xfffff801bcb30000, verdict.Target.KernelBase);
        Assert.Equal(0xfffff801bce76c30, verdict.Target.PsLoadedModuleList);
        Assert.Equal(new DateTime(2018, 7, 6, 22, 16, 5, 318, DateTimeKind.Utc), verdict.Target.SessionTime);
        Assert.Equal(new TimeSpan(0, 0, 2, 0, 78), verdict.Target.Uptime);
        Assert.Equal("64 bit Kernel Mini Dump", verdict.Header.Kind);
        Assert.Equal(0xE2UL, verdict.Header["BugCheckCode"]);
        Assert.Equal(0xAA64UL, verdict.Header["MachineImageType"]);
        Assert.Equal(0xfffff801bce5ef70, verdict.Header["KdDebuggerDataBlock"]);
        Assert.Equal(8, verdict.Registers.Count);
        Assert.Equal(0xfffff801bcc92ad8, verdict.Registers[3]["pc"]);
        Assert.Equal(228, verdict.Modules.Count);
        Assert.Equal(9, verdict.UnloadedModules.Count);
        Assert.Contains(new EngineModule(0xffffbb38d2d70000, 0xffffbb38d2dad000, "cdd"), verdict.Modules);
    }

    [Fact]
    public void Finds_fault_with_a_header_that_has_no_memory_behind_it()
    {
        DebuggerEngine.SkipUnlessAccepted();
        var verdict = DebuggerEngine.Judge(RealData.PathOf("dumps/full-header-win10-19041-x64.bin"));

        Assert.True(verdict.Opened);
        Assert.Contains("KdDebuggerDataBlock is not present or unreadable.", verdict.Complaints);
        Assert.Contains(verdict.Complaints, line => line.Contains("truncated", StringComparison.Ordinal));
        Assert.Null(verdict.Target.Uptime);
        Assert.Equal(0x3e6b1a000UL, verdict.Header["DirectoryTableBase"]);
        Assert.Equal(
            [(0x1000UL, 0x9f000UL), (0x100000, 0x7f7ef000UL), (0x7fbff000, 0x3e1000), (0x100000000, 0x380000000)],
            verdict.Header.Runs.Select(run => (run.Start, run.Length)));
    }

    [Fact]
    public void Judges_many_files_in_one_run_and_refuses_those_that_are_no_dump()
    {
        DebuggerEngine.SkipUnlessAccepted();
        var nothing = Path.Combine(Path.GetTempPath(), $"forengate-no-dump-ÄÖ-{Guid.NewGuid():N}.dmp");
        File.WriteAllText(nothing, new string('x', 0x3000));
        try
        {
            var triage = RealData.PathOf("dumps/triage-win10-17134-arm64.dmp");
            var verdicts = DebuggerEngine.JudgeAll([nothing, triage, nothing + ".missing", triage], "version");

            Assert.Equal([false, true, false, true], verdicts.Select(verdict => verdict.Opened));
            Assert.All([verdicts[0], verdicts[2]], verdict => Assert.NotNull(verdict.Refusal));
            Assert.NotEmpty(verdicts[0].Complaints);
            Assert.Equal(17134, verdicts[3].Target.Build);
            Assert.Contains("dbgeng:", verdicts[1]["version"], StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(nothing);
        }
    }
}
