using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Forengate.Cli.Tests.Program;

/// <summary>What a run of the program left.</summary>
internal sealed record ProgramOutcome(int ExitCode, string Output, string Errors)
{
    /// <summary>The one line on stderr that says why it failed; fails the test when there are more or fewer.</summary>
    public string Reason
    {
        get
        {
            var line = Assert.Single(Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
            Assert.StartsWith("forengate: ", line, StringComparison.Ordinal);
            Assert.DoesNotContain("internal error", line, StringComparison.Ordinal);
            return line;
        }
    }

    public JsonElement Json => JsonElement.Parse(Output);

    /// <summary>Itself, when the program said that all is done; else fails the test with what it said.</summary>
    public ProgramOutcome Done()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Errors}");
        return this;
    }
}

/// <summary>The built program as users run it: a process of its own.</summary>
internal sealed class ForengateProgram : IDisposable
{
    private const int Kill = 9, Interrupt = 2, Continue = 18, Freeze = 19;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly Process process;
    private readonly Task<string> errors;

    private ForengateProgram(Process process)
    {
        this.process = process;
        errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>Beside the tests, where the build puts it.</summary>
    public static string Assembly => Path.Combine(AppContext.BaseDirectory, "forengate.dll");

    /// <summary>What the program writes to standard output, as long as nobody has read it.</summary>
    public Stream Output => process.StandardOutput.BaseStream;

    public static ProgramOutcome Run(params IReadOnlyList<string> arguments) => RunUnder([], arguments);

    /// <summary>Runs it by another program: <c>setpriv</c>, <c>sh -c</c>; the program and its arguments stand behind.</summary>
    public static ProgramOutcome RunUnder(IReadOnlyList<string> launcher, IReadOnlyList<string> arguments)
    {
        using var program = Start(launcher, arguments);
        return program.End();
    }

    public static ForengateProgram Start(params IReadOnlyList<string> arguments) => Start([], arguments);

    /// <summary>Its process.</summary>
    public int ProcessId => process.Id;

    public void SendInterrupt() => Signal(Interrupt);

    public void SendKill() => Signal(Kill);

    /// <summary>Holds the program where it is.</summary>
    public void SendFreeze() => Signal(Freeze);

    public void SendContinue() => Signal(Continue);

    public ProgramOutcome End()
    {
        var output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"forengate did not end within {Patience.TotalMinutes} minutes: {errors.Result}");
        }
        return new ProgramOutcome(process.ExitCode, output.Result, errors.Result);
    }

    public void Dispose()
    {
        if (!process.HasExited)
            process.Kill(entireProcessTree: true);
        process.Dispose();
    }

    /// <summary>Runs it by another program, which must become it (exec).</summary>
    public static ForengateProgram Start(IReadOnlyList<string> launcher, IReadOnlyList<string> arguments)
    {
        string[] command = [.. launcher, Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet", "exec", Assembly, .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment.Remove("LIBVIRT_DEFAULT_URI");
        // What whoever runs the tests keeps must not change what they see.
        start.Environment["FORENGATE_STORE"] = Path.Combine(Path.GetTempPath(), "forengate-tests-no-store");
        return new ForengateProgram(Process.Start(start)!);
    }

    private void Signal(int signal)
    {
        using var kill = Process.Start("kill", [$"-{signal.ToString(CultureInfo.InvariantCulture)}", process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
        Assert.Equal(0, kill.ExitCode);
    }
}
