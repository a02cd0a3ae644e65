using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>convert</c> as users run it, on a twin's image.</summary>
public sealed class ConvertTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("forengate-convert-").FullName;

    private static string Raw => Path.Combine(TwinImages.Get("--memory", "256", "--raw"), "memory.raw");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Every_way_there_and_back_gives_the_same_bytes_and_the_same_processes()
    {
        var processes = ForengateProgram.Run("processes", Raw, "-o", "csv").Done().Output;
        var before = Raw;
        foreach (var name in new[] { "a.elf", "b.lime", "c.raw" })
        {
            var outcome = ForengateProgram.Run("convert", before, In(name), "-o", "json").Done();
            Assert.Equal(new FileInfo(In(name)).Length, outcome.Json.GetProperty("bytes").GetInt64());
            Assert.Equal(0, outcome.Json.GetProperty("missing").GetArrayLength());
            Assert.Equal(processes, ForengateProgram.Run("processes", In(name), "-o", "csv").Done().Output);
            before = In(name);
        }
        using (var wanted = File.OpenRead(Raw))
        using (var got = File.OpenRead(In("c.raw")))
            Assert.Equal(System.Security.Cryptography.SHA256.HashData(wanted), System.Security.Cryptography.SHA256.HashData(got));
        Assert.Equal(["a.elf", "b.lime", "c.raw"], Directory.EnumerateFiles(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Standard_output_takes_the_same_bytes_as_a_file()
    {
        ForengateProgram.Run("convert", Raw, In("a.lime")).Done();
        using var program = ForengateProgram.Start("convert", Raw, "-", "--format", "lime");
        using (var wanted = File.OpenRead(In("a.lime")))
            Assert.Equal(System.Security.Cryptography.SHA256.HashData(wanted), System.Security.Cryptography.SHA256.HashData(program.Output));
        var outcome = program.End();
        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains("-: lime, from raw image", outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_source_is_converted_as_far_as_it_goes_and_ends_with_3_everywhere()
    {
        ForengateProgram.Run("convert", Raw, In("whole.elf")).Done();
        File.Copy(In("whole.elf"), In("cut.elf"));
        using (var file = File.OpenWrite(In("cut.elf")))
            file.SetLength(file.Length - (3 << 20));

        var converted = ForengateProgram.Run("convert", In("cut.elf"), In("cut.lime"), "-o", "json");
        Assert.Equal(3, converted.ExitCode);
        Assert.Contains("the file is cut off", converted.Errors, StringComparison.Ordinal);
        var missing = Assert.Single(converted.Json.GetProperty("missing").EnumerateArray());
        Assert.Equal(("0xfd00000", "0x10000000"), (missing.GetProperty("start").GetString(), missing.GetProperty("end").GetString()));
        foreach (var verb in new[] { "info", "processes", "drivers" })
        {
            var outcome = ForengateProgram.Run(verb, In("cut.elf"), "-o", "json");
            Assert.Equal(3, outcome.ExitCode);
            Assert.Contains("the file is cut off", outcome.Errors, StringComparison.Ordinal);
        }
        var view = ForengateProgram.Run("info", In("cut.elf"), "-o", "json").Json.GetProperty("view");
        Assert.Contains("cut off", Assert.Single(view.GetProperty("damage").EnumerateArray()).GetString(), StringComparison.Ordinal);
        Assert.Equal((3 << 20) / 4096, view.GetProperty("pages").GetProperty("missing").GetInt32());
    }

    [Fact]
    public void The_image_itself_is_never_the_output()
    {
        File.Copy(Raw, In("a.raw"));
        File.CreateSymbolicLink(In("link.elf"), In("a.raw"));
        foreach (var output in new[] { In("a.raw"), In("link.elf") })
        {
            var outcome = ForengateProgram.Run("convert", In("a.raw"), output);
            Assert.Equal(1, outcome.ExitCode);
            Assert.Contains("is the image itself", outcome.Reason, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("out.foo", null, "'out.foo' does not end like a format that we write: say --format, one of ")]
    [InlineData("-", null, "'-' does not end like a format")]
    [InlineData("out.elf", "qcow", "--format does not take 'qcow': say one of ")]
    public void A_format_that_is_not_written_is_a_wrong_command_line(string output, string? format, string reason)
    {
        var outcome = ForengateProgram.Run(["convert", Raw, output, .. format is null ? Array.Empty<string>() : ["--format", format]]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(reason, outcome.Errors, StringComparison.Ordinal);
    }

    private string In(string name) => Path.Combine(folder, name);
}
