using System.Diagnostics;
using Forengate.Testing;

namespace Forengate.Cli.Tests;

/// <summary>The program as a user meets it: exit codes, one-line reasons on stderr, nothing left behind.</summary>
public sealed class ExitCodeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("forengate-cli-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private sealed record Outcome(int Code, string Output, string Errors);

    private static Outcome Forengate(params string[] arguments)
    {
        // The program lies beside the tests: they reference it.
        var program = Path.Combine(AppContext.BaseDirectory, "forengate.dll");
        var start = new ProcessStartInfo("dotnet", ["exec", program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)));
        return new Outcome(process.ExitCode, output, errors.Result);
    }

    private string FileOf(string name, byte[] bytes)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private static void AssertFailsWithOneLine(Outcome outcome, params string[] says)
    {
        Assert.Equal(1, outcome.Code);
        Assert.Equal("", outcome.Output);
        Assert.Single(outcome.Errors.TrimEnd('\n').Split('\n'));
        Assert.StartsWith("forengate: ", outcome.Errors, StringComparison.Ordinal);
        foreach (var part in says)
            Assert.Contains(part, outcome.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("processes")]
    [InlineData("no-such-command")]
    [InlineData("processes", "x", "--no-such-option")]
    [InlineData("processes", "x", "--output", "xml")]
    [InlineData("dump", "x")]
    public void A_wrong_command_line_is_2(params string[] arguments)
    {
        var outcome = Forengate(arguments);
        Assert.Equal(2, outcome.Code);
        Assert.Equal("", outcome.Output);
        Assert.Contains("--help", outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Help_is_not_a_failure()
    {
        var outcome = Forengate("--help");
        Assert.Equal(0, outcome.Code);
        foreach (var command in new[] { "guests", "info", "dump", "check", "processes", "drivers" })
            Assert.Contains(command, outcome.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("watchdog", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_a_folder_an_empty_file_and_a_text_are_refused_by_name()
    {
        AssertFailsWithOneLine(Forengate("processes", Path.Combine(_folder, "nothing.raw")), "nothing.raw");
        AssertFailsWithOneLine(Forengate("processes", _folder), _folder);
        AssertFailsWithOneLine(Forengate("processes", FileOf("empty.raw", [])), "empty.raw");
        AssertFailsWithOneLine(Forengate("processes", FileOf("a.txt", System.Text.Encoding.UTF8.GetBytes(new string('a', 8192)))), "a.txt", "text");
    }

    [Fact]
    public void An_image_without_Windows_gives_a_reason_and_no_dump()
    {
        var noise = new byte[8 << 20];
        new Random(1).NextBytes(noise);
        var image = FileOf("noise.raw", noise);
        AssertFailsWithOneLine(Forengate("drivers", image), "no Windows kernel");
        var dump = Path.Combine(_folder, "out.dmp");
        AssertFailsWithOneLine(Forengate("dump", image, dump), "no Windows kernel");
        Assert.Equal([image], Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_dump_has_no_place_in_a_missing_folder_on_a_folder_or_on_its_source()
    {
        var image = FileOf("zero.raw", new byte[1 << 20]);
        AssertFailsWithOneLine(Forengate("dump", image, Path.Combine(_folder, "missing", "out.dmp")), "missing");
        AssertFailsWithOneLine(Forengate("dump", image, _folder), "folder");
        AssertFailsWithOneLine(Forengate("dump", image, image), "image itself");
        Assert.Equal(1 << 20, new FileInfo(image).Length);
    }

    [Fact]
    public void A_guest_that_cannot_be_reached_gives_a_reason()
    {
        AssertFailsWithOneLine(Forengate("info", $"qmp:{Path.Combine(_folder, "none.sock")}"), "none.sock");
        AssertFailsWithOneLine(Forengate("info", $"qmp:{FileOf("file.sock", [1])}"), "file.sock");
        AssertFailsWithOneLine(Forengate("guests", "--connect", $"qemu+unix:///session?socket={Path.Combine(_folder, "libvirt-sock")}"), "libvirt");
        AssertFailsWithOneLine(Forengate("info", "libvirt:nobody", "--connect", "test:///default"), "nobody");
    }

    [Fact]
    public void A_real_header_without_its_memory_fails_the_check_and_says_where()
    {
        var outcome = Forengate("check", RealData.PathOf("dumps/full-header-win10-19041-x64.bin"));
        Assert.Equal(3, outcome.Code);
        Assert.Contains("[truncated]", outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_real_small_dump_passes_the_check()
    {
        var outcome = Forengate("check", RealData.PathOf("dumps/triage-win10-17134-arm64.dmp"));
        Assert.Equal(0, outcome.Code);
        Assert.Contains("modules 228", outcome.Output, StringComparison.Ordinal);
    }
}
