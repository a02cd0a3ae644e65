using System.Text.Json;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>forengate guard</c> as users run it; what it makes of crashes is shown in the tests of the engine's room.</summary>
public sealed class GuardTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("forengate-cli-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("--keep 0", "--keep does not take '0'")]
    [InlineData("--keep-bytes 0", "--keep-bytes does not take '0'")]
    [InlineData("--keep-bytes much", "--keep-bytes does not take 'much'")]
    [InlineData("--at-most 3", "--at-most does not take '3'")]
    [InlineData("--at-most 0/1h", "--at-most does not take '0/1h'")]
    [InlineData("--reserve -1", "--reserve does not take '-1'")]
    [InlineData("--silent-for 1s", "--silent-for does not take '1s'")]
    [InlineData("--on panic,reboot", "--on does not take 'panic,reboot'")]
    [InlineData("--on none", "--on does not take 'none'")]
    [InlineData("--on 1", "--on does not take '1'")]
    [InlineData("--type huge", "--type does not take 'huge'")]
    [InlineData("--parallel 65", "--parallel does not take '65'")]
    [InlineData("--run-limit forever", "--run-limit does not take 'forever'")]
    [InlineData("--run 'a", "--run:")]
    [InlineData("--run-shell", "--run-shell says")]
    [InlineData("--output csv", "table or jsonl")]
    [InlineData("--agent-socket /a", "--agent-socket belongs to one qmp:SOCKET")]
    [InlineData("pid:17", "'pid:17' is no guest to guard")]
    [InlineData("qmp:", "'qmp:' is no guest to guard")]
    public void What_the_command_line_can_not_mean_is_refused(string words, string reason)
    {
        var outcome = ForengateProgram.Run(["guard", "--to", folder, .. words.Split(' ')]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(reason, outcome.Errors, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    [Fact]
    public void A_folder_has_to_be_named_and_there_and_the_guests_too()
    {
        Assert.Equal(2, ForengateProgram.Run("guard").ExitCode);
        var missing = ForengateProgram.Run("guard", "--to", Path.Combine(folder, "none"));
        Assert.Equal(1, missing.ExitCode);
        Assert.Contains("does not exist", missing.Reason, StringComparison.Ordinal);
        var alone = ForengateProgram.Run("guard", "--to", folder, "--connect", $"qemu+unix:///session?socket={folder}/none");
        Assert.Equal(1, alone.ExitCode);
        Assert.Contains("libvirt", alone.Reason, StringComparison.Ordinal);
        var help = ForengateProgram.Run("guard", "--help").Done().Output;
        foreach (var option in (string[])["--to", "--on", "--keep", "--keep-bytes", "--at-most", "--reserve", "--run", "--once", "--plan"])
            Assert.Contains(option, help, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(folder));
    }

    [Fact]
    public void A_crash_is_dumped_told_in_json_and_followed_by_a_command()
    {
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "19041", "--memory", "128", "--bugcheck", "D1,1,2,3,4"), new MachineOptions { ExtraArguments = ["-device", "pvpanic"] });
        var planned = ForengateProgram.Run("guard", twin.Target, "--to", folder, "--plan", "--reserve", "0");
        Assert.Equal(3, planned.ExitCode);
        Assert.Contains("i6300esb", planned.Output, StringComparison.Ordinal);
        using var guard = ForengateProgram.Start(
            "guard", twin.Target, "--to", folder, "--once", "--output", "jsonl", "--reserve", "0", "--on", "panic", "--run-shell", "--run", "echo \"$FORENGATE_BUGCHECK\"; test -s \"$FORENGATE_FILE\"");
        var lines = new List<JsonElement>();
        var reader = new StreamReader(guard.Output);
        while (reader.ReadLine() is { } line)
        {
            lines.Add(JsonElement.Parse(line));
            if (lines[^1].GetProperty("event").GetString() == "ready")
                twin.Machine.Hmp("o /b 0x505 1");
        }
        var outcome = guard.End();
        Assert.True(outcome.ExitCode == 0, outcome.Errors);
        Assert.Equal(["guarding", "ready", "dumped", "ran", "ended"], lines.Select(line => line.GetProperty("event").GetString()).Where(name => name != "heard"));
        var dumped = lines.Single(line => line.GetProperty("event").GetString() == "dumped");
        Assert.Equal("0xd1", dumped.GetProperty("bugcheck").GetProperty("code").GetString());
        Assert.Equal(["0x1", "0x2", "0x3", "0x4"], dumped.GetProperty("bugcheck").GetProperty("parameters").EnumerateArray().Select(one => one.GetString()));
        Assert.Equal(64, dumped.GetProperty("sha256").GetString()!.Length);
        Assert.Equal("0xD1", lines.Single(line => line.GetProperty("event").GetString() == "ran").GetProperty("lines")[0].GetString());
        ForengateProgram.Run("check", dumped.GetProperty("file").GetString()!).Done();
    }

    [Fact]
    public void An_interrupt_ends_it_in_order_and_the_guest_runs_on()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128"), new MachineOptions { ExtraArguments = ["-device", "pvpanic"] });
        using var guard = ForengateProgram.Start("guard", twin.Target, "--to", folder, "--on", "panic");
        var reader = new StreamReader(guard.Output);
        while (reader.ReadLine() is { } line && !line.Contains("  ready ", StringComparison.Ordinal))
        {
        }
        guard.SendInterrupt();
        var rest = reader.ReadToEnd();
        var outcome = guard.End();
        Assert.True(outcome.ExitCode == 0, outcome.Errors);
        Assert.Contains("0 dumped, 0 failed", rest, StringComparison.Ordinal);
        Assert.Equal("running", twin.State);
        twin.Machine.Ping();
        Assert.Empty(Directory.GetFiles(folder));
    }
}
