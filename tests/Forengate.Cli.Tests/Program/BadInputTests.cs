using System.Diagnostics;
using System.Net.Sockets;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>Whatever is wrong with what the user points at is one line, with the right exit code, and nothing half-written remains.</summary>
public sealed class BadInputTests : IDisposable
{
    private const int Failed = 1, WrongCommandLine = 2;

    private readonly string folder = Directory.CreateTempSubdirectory("forengate-cli-").FullName;

    public static TheoryData<string> TargetVerbs => ["info", "dump", "processes", "drivers"];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void A_file_that_is_no_image(string verb) => Assert.Contains("notes.txt", Refused(verb, Made("notes.txt", "Remember the milk.\n"u8.ToArray())), StringComparison.Ordinal);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void An_empty_file(string verb) => Assert.Contains("empty.dmp", Refused(verb, Made("empty.dmp", [])), StringComparison.Ordinal);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void A_folder(string verb) => Refused(verb, Directory.CreateDirectory(In("folder")).FullName);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void A_file_that_is_not_there(string verb) => Assert.Contains("absent.dmp", Refused(verb, In("absent.dmp")), StringComparison.Ordinal);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void Raw_zeros_hold_no_Windows(string verb) => Assert.Contains("no Windows kernel", Refused(verb, Made("zeros.raw", new byte[4 << 20]), "--format", "raw"), StringComparison.Ordinal);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void Raw_noise_holds_no_Windows(string verb)
    {
        var noise = new byte[4 << 20];
        new Random(7).NextBytes(noise);
        Assert.Contains("no Windows kernel", Refused(verb, Made("noise.raw", noise), "--format", "raw"), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(TargetVerbs))]
    public void A_socket_that_is_not_there(string verb) => Assert.Contains("qmp.sock", Refused(verb, $"qmp:{In("qmp.sock")}"), StringComparison.Ordinal);

    [Theory, MemberData(nameof(TargetVerbs))]
    public void A_file_where_a_socket_should_be(string verb) => Refused(verb, $"qmp:{Made("plain", "x"u8.ToArray())}");

    [Fact]
    public async Task A_socket_that_is_not_QEMU()
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(In("mail.sock")));
        listener.Listen();
        var served = Task.Run(() =>
        {
            using var client = listener.Accept();
            client.Send("220 mail.example ESMTP\r\n"u8);
            client.Receive(new byte[100]);
        }, TestContext.Current.CancellationToken);
        Assert.Contains("mail.sock", Refused("info", $"qmp:{In("mail.sock")}"), StringComparison.Ordinal);
        await served;
    }

    [Theory, MemberData(nameof(TargetVerbs))]
    public void A_libvirt_that_does_not_answer(string verb) =>
        Refused(verb, "libvirt:win", "--connect", $"qemu:///session?socket={In("libvirt-sock")}");

    [Fact]
    public void A_guest_that_libvirt_does_not_know() => Assert.Contains("nobody", Refused("info", "libvirt:nobody", "--connect", "test:///default"), StringComparison.Ordinal);

    [Fact]
    public void Guests_of_a_libvirt_that_does_not_answer()
    {
        var outcome = ForengateProgram.Run("guests", "--connect", $"qemu:///session?socket={In("libvirt-sock")}");
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.NotEmpty(outcome.Reason);
        Assert.Empty(outcome.Output);
    }

    [Theory, InlineData(0), InlineData(5000)]
    public void Check_wants_a_dump(int length)
    {
        var outcome = ForengateProgram.Run("check", Made("odd.dmp", new byte[length]));
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.Contains("odd.dmp", outcome.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_without_the_right_to_read_it()
    {
        var file = Made("secret.dmp", new byte[8192]);
        using (var change = Process.Start("chmod", ["0", file]))
            change.WaitForExit();
        using (var change = Process.Start("chmod", ["755", folder]))
            change.WaitForExit();
        // To root no file is closed.
        string[] launcher = Environment.UserName == "root" ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] : [];
        if (launcher.Length > 0 && ForengateProgram.RunUnder(launcher, ["--version"]).ExitCode != 0)
            Assert.Skip("this checkout cannot be read by anybody but root");
        var outcome = ForengateProgram.RunUnder(launcher, ["info", file]);
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.Contains("secret.dmp", outcome.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData]
    [InlineData("frobnicate")]
    [InlineData("info")]
    [InlineData("info", "a", "b")]
    [InlineData("dump", "a")]
    [InlineData("info", "a", "--nonsense")]
    [InlineData("info", "a", "--output", "yaml")]
    [InlineData("processes", "a", "--pid", "four")]
    [InlineData("dump", "a", "b", "--consistency", "perfect")]
    [InlineData("dump", "a", "b", "--max-pause", "soon")]
    public void A_wrong_command_line(params string[] arguments)
    {
        var outcome = ForengateProgram.Run(arguments);
        Assert.Equal(WrongCommandLine, outcome.ExitCode);
        Assert.Empty(outcome.Output);
        var lines = outcome.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(lines, line => Assert.StartsWith("forengate: ", line, StringComparison.Ordinal));
        Assert.Contains("--help", lines[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_with_escape_sequences_is_spelled_out()
    {
        var reason = Refused("info", In("a\u001b[2Jb\nc.dmp"));
        Assert.DoesNotContain('\u001b', reason);
    }

    [Fact]
    public void A_dump_into_a_folder_that_is_not_there()
    {
        var outcome = Dump(In("nowhere/out.dmp"));
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.Contains("nowhere", outcome.Reason, StringComparison.Ordinal);
        Assert.False(Directory.Exists(In("nowhere")));
    }

    [Fact]
    public void A_dump_onto_a_folder()
    {
        Directory.CreateDirectory(In("out.dmp"));
        var outcome = Dump(In("out.dmp"));
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.NotEmpty(outcome.Reason);
        Assert.Empty(Directory.EnumerateFileSystemEntries(In("out.dmp")));
    }

    [Theory]
    [InlineData("memory.raw")]
    [InlineData("./memory.raw")]
    public void A_dump_onto_its_own_image(string output)
    {
        File.Copy(Image, In("memory.raw"));
        var before = Entries();
        var outcome = ForengateProgram.Run("dump", In("memory.raw"), Path.Combine(folder, output), "--format", "raw");
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.NotEmpty(outcome.Reason);
        Assert.Equal(before, Entries());
    }

    [Fact]
    public void A_full_disk()
    {
        // A disk of its own, in a mount namespace of its own, that goes with the program.
        const string script = "mount -t tmpfs -o size=2m none \"$0\" && \"$@\"; code=$?; ls -A \"$0\"; exit $code";
        if (ForengateProgram.RunUnder(["unshare", "--mount", "sh", "-c", script, folder], ["--version"]).ExitCode != 0)
            Assert.Skip("a file system cannot be mounted here");
        var outcome = ForengateProgram.RunUnder(["unshare", "--mount", "sh", "-c", script, folder], ["dump", Image, In("out.dmp"), "--format", "raw"]);
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.Contains("out.dmp", outcome.Reason, StringComparison.Ordinal);
        Assert.Empty(outcome.Output);
    }

    [Fact]
    public void A_pipe_that_nobody_reads_to_the_end()
    {
        var outcome = ForengateProgram.RunUnder(["sh", "-c", "{ \"$@\"; echo $? >&2; } | head -c 100000 > /dev/null", "sh"], ["dump", Image, "-", "--format", "raw"]);
        var lines = outcome.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("1", lines[^1]);
        Assert.StartsWith("forengate: ", Assert.Single(lines[..^1]), StringComparison.Ordinal);
    }

    /// <summary>Raw memory of a twin: with Windows, without registers.</summary>
    private static string Image => Path.Combine(TwinImages.Get("--build", "19041", "--memory", "128", "--raw"), "memory.raw");

    private static ProgramOutcome Dump(string output) => ForengateProgram.Run("dump", Image, output, "--format", "raw");

    /// <summary>The reason for which a verb refused a target; fails the test when anything was written or listed.</summary>
    private string Refused(string verb, string target, params string[] options)
    {
        var output = In("out.dmp");
        var before = Entries();
        var outcome = ForengateProgram.Run([verb, target, .. verb == "dump" ? [output] : Array.Empty<string>(), .. options]);
        Assert.Equal(Failed, outcome.ExitCode);
        Assert.Equal(before, Entries());
        if (verb != "info" || !options.Contains("raw"))
        {
            Assert.Empty(outcome.Output);
            return outcome.Reason;
        }
        // `info` tells what it did find in an image whose form is right, and what is to be said of that.
        Assert.NotEmpty(outcome.Output);
        var lines = outcome.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(lines, line => Assert.StartsWith("forengate: ", line, StringComparison.Ordinal));
        return lines[^1];
    }

    private string In(string name) => Path.Combine(folder, name);

    private string Made(string name, byte[] bytes)
    {
        File.WriteAllBytes(In(name), bytes);
        return In(name);
    }

    private List<(string, long)> Entries() =>
        [.. new DirectoryInfo(folder).EnumerateFileSystemInfos().Select(entry => (entry.Name, entry is FileInfo file ? file.Length : 0)).Order()];
}
