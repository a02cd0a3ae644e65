using System.Text.Json;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>forengate rescue</c> as users run it; what it repairs is shown in the tests of the guests' room.</summary>
public sealed class RescueTests
{
    [Fact]
    public void A_paused_guest_is_told_of_and_continued_only_when_asked()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128"));
        using (var monitor = twin.Machine.OpenMonitor())
            monitor.Execute("stop");
        var looked = ForengateProgram.Run("rescue", twin.Target, "--look", "--output", "json");
        Assert.Equal(3, looked.ExitCode);
        using (var report = JsonDocument.Parse(looked.Output))
        {
            Assert.Contains("stands still", report.RootElement.GetProperty("found")[0].GetString()!, StringComparison.Ordinal);
            Assert.Equal(0, report.RootElement.GetProperty("done").GetArrayLength());
        }
        Assert.Equal("paused", twin.State);
        var resumed = ForengateProgram.Run("rescue", twin.Target, "--resume");
        Assert.Equal(0, resumed.ExitCode);
        Assert.Contains("continued the guest", resumed.Output, StringComparison.Ordinal);
        Assert.Equal("running", twin.State);
        Assert.Contains("nothing is wrong", ForengateProgram.Run("rescue", twin.Target).Output, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_guest_is_refused_in_one_line()
    {
        var refused = ForengateProgram.Run("rescue", "/nowhere/image.raw");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("no live guest", refused.Errors, StringComparison.Ordinal);
    }
}
