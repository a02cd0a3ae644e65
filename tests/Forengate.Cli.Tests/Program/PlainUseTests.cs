using Forengate.Testing;

namespace Forengate.Cli.Tests.Program;

public sealed class PlainUseTests
{
    [Fact]
    public void Help_names_the_commands_and_nothing_inside()
    {
        var help = ForengateProgram.Run("--help").Done().Output;
        foreach (var command in new[] { "guests", "info", "dump", "check", "processes", "drivers" })
            Assert.Contains(command, help, StringComparison.Ordinal);
        Assert.DoesNotContain("watchdog", help, StringComparison.Ordinal);
    }

    [Fact]
    public void A_real_header_without_its_memory_fails_the_check_and_says_where()
    {
        var outcome = ForengateProgram.Run("check", RealData.PathOf("dumps/full-header-win10-19041-x64.bin"));
        Assert.Equal(3, outcome.ExitCode);
        Assert.Contains("[truncated]", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_real_small_dump_passes_the_check() =>
        Assert.Contains("modules 228", ForengateProgram.Run("check", RealData.PathOf("dumps/triage-win10-17134-arm64.dmp")).Done().Output, StringComparison.Ordinal);
}
