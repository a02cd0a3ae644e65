using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>Every kind of dump as users make it, and what the other commands say of each.</summary>
public sealed class DumpKindTests
{
    private static readonly string[] s_options = ["--build", "19041", "--cpus", "2", "--cpu-modes", "kernel", "--drivers", "12", "--processes", "30", "--memory", "128", "--raw"];

    [Fact]
    public void Every_kind_is_written_checked_and_read()
    {
        var twin = TwinImages.Get(s_options);
        var truth = TwinTruth.Read(twin);
        var folder = TwinFolders.New();
        // A raw image has no registers; a dump of it has those that Windows saved, so that dumps of that one lack nothing.
        var source = Path.Combine(folder, "source.dmp");
        Assert.Equal(3, ForengateProgram.Run("dump", Path.Combine(twin, "memory.raw"), source).ExitCode);
        var listed = truth.Processes.Count(process => process.Listed);
        foreach (var (type, kind) in new[] { ("full", "complete"), ("bitmap", "full bitmap"), ("active", "active memory"), ("kernel", "kernel bitmap"), ("small", "small") })
        {
            var dump = Path.Combine(folder, type + ".dmp");
            var written = ForengateProgram.Run("dump", source, dump, "--type", type, "--output", "json").Done().Json;
            Assert.Equal(type, written.GetProperty("type").GetString());
            Assert.Equal(new FileInfo(dump).Length, written.GetProperty("bytes").GetInt64());
            var left = written.GetProperty("leftOutPages").EnumerateObject().Select(one => one.Name);
            Assert.Equal(type switch { "active" => ["zeroed", "free", "standby"], "kernel" => ["user or unused"], _ => [] }, left);

            var check = ForengateProgram.Run("check", dump).Done().Output;
            Assert.Contains($"64-bit {kind} dump", check, StringComparison.Ordinal);
            Assert.Contains("a debugger opens this without a complaint", check, StringComparison.Ordinal);
            Assert.Contains($"64-bit {kind}", ForengateProgram.Run("info", dump).Output, StringComparison.Ordinal);
            Assert.Equal(truth.Drivers.Count(driver => !driver.Hidden), ForengateProgram.Run("drivers", dump, "--output", "json").Done().Json.GetArrayLength());
            // Of a small dump's one process the listing says that there were more: exit code 3.
            var processes = ForengateProgram.Run("processes", dump, "--output", "json");
            Assert.Equal(type == "small" ? (3, 1) : (0, listed), (processes.ExitCode, processes.Json.GetArrayLength()));
        }
        var summary = ForengateProgram.Run("dump", source, Path.Combine(folder, "again.dmp"), "--type", "active").Done().Output;
        Assert.Contains("left out: ", summary, StringComparison.Ordinal);
        Assert.Contains(" zeroed pages, 256 free pages, ", summary, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void Excluded_processes_are_named_or_refused()
    {
        var twin = TwinImages.Get(s_options);
        var truth = TwinTruth.Read(twin);
        var folder = TwinFolders.New();
        var (source, dump) = (Path.Combine(twin, "memory.raw"), Path.Combine(folder, "out.dmp"));
        var victim = truth.Processes.Last(process => process.Listed && process.State == "running" && process.CommandLine.Length > 0 && process.Peb != 0);
        var written = ForengateProgram.Run("dump", source, dump, "--exclude", $"{victim.Pid}", "--output", "json").Json;
        Assert.Equal(victim.Pid, Assert.Single(written.GetProperty("excluded").EnumerateArray()).GetProperty("pid").GetUInt32());
        Assert.InRange(written.GetProperty("excludedPages").GetInt32(), 1, 10000);
        Assert.Contains($"excluded: {victim.Name} ({victim.Pid}), ", ForengateProgram.Run("info", dump).Output, StringComparison.Ordinal);
        var processes = ForengateProgram.Run("processes", dump, "--output", "json").Done().Json.EnumerateArray().Where(one => one.GetProperty("pid").GetUInt32() == victim.Pid);
        Assert.DoesNotContain(victim.CommandLine, Assert.Single(processes).GetRawText(), StringComparison.Ordinal);

        File.Delete(dump);
        foreach (var arguments in (string[][])[["--exclude", "nobody.exe"], ["--type", "kernel", "--exclude", "4"]])
        {
            var refused = ForengateProgram.Run(["dump", source, dump, .. arguments]);
            Assert.NotEqual(0, refused.ExitCode);
            Assert.Contains("--exclude", refused.Errors, StringComparison.Ordinal);
            Assert.False(File.Exists(dump));
        }
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void Active_memory_that_nothing_tells_is_refused_with_a_way_out()
    {
        // A kernel that no table knows, and no zeroed page to learn its states by.
        var image = Path.Combine(TwinImages.Get("--build", "19041", "--shuffle", "91", "--zeroed", "0", "--memory", "128", "--exited", "4", "--raw"), "memory.raw");
        var folder = TwinFolders.New();
        var dump = Path.Combine(folder, "out.dmp");
        var refused = ForengateProgram.Run("dump", image, dump, "--type", "active");
        Assert.NotEqual(0, refused.ExitCode);
        Assert.Contains("_MMPFN", refused.Errors, StringComparison.Ordinal);
        Assert.Contains("write --type bitmap", refused.Errors, StringComparison.Ordinal);
        Assert.False(File.Exists(dump));
        Assert.Contains("user or unused pages", ForengateProgram.Run("dump", image, dump, "--type", "kernel").Output, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }
}
