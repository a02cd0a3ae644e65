using System.Diagnostics;
using System.Text;

namespace Forengate.Testing.Referee;

/// <summary>
/// Microsoft's debugger engine as the first referee of every dump: <c>eng/referee</c> fetches it, builds the program that drives it, and runs both under Wine.
/// It is Microsoft's property, so nothing here runs before the person who runs the tests has accepted its licence.
/// </summary>
public static class DebuggerEngine
{
    /// <summary>The environment variable that says "1" where the Windows SDK licence was accepted.</summary>
    public const string AcceptanceVariable = "FORENGATE_ACCEPT_DBGENG_LICENSE";

    /// <summary>What <see cref="Judge"/> always asks.</summary>
    private static readonly string[] StandingQuestions = ["vertarget", "lm", ".dumpdebug"];

    /// <summary>Asked last: going to a processor changes to its process's page tables, and reads of memory should be those of the dump as it was opened.</summary>
    private const string LastQuestion = "each r";

    /// <summary>A dump takes the engine under a second; the first run on a machine fetches the engine and makes a Wine prefix.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private static readonly Lazy<string?> Preparation = new(() => Run(["--prepare"], "") is var (code, _, errors) && code == 0 ? null : errors);

    public static bool Accepted => Environment.GetEnvironmentVariable(AcceptanceVariable) == "1";

    /// <summary>Skips the running test where the engine's licence was not accepted.</summary>
    public static void SkipUnlessAccepted()
    {
        if (!Accepted)
            Assert.Skip($"needs Microsoft's debugger engine (NuGet package Microsoft.Debugging.Platform.DbgEng, Windows SDK licence): read the licence, then set {AcceptanceVariable}=1 to switch this test on");
        if (Preparation.Value is { } reason)
            Assert.Fail($"the debugger engine's licence is accepted, but it cannot be run: {reason}");
    }

    /// <summary>
    /// Opens a dump in the engine and asks for its target, modules, header and the registers of every processor, then for <paramref name="more"/>:
    /// debugger commands, with <c>each COMMAND</c> for one on every processor and <see cref="EngineVerdict.ReadOf"/> for memory.
    /// Skips the running test where the engine is not accepted.
    /// </summary>
    public static EngineVerdict Judge(string dump, params IReadOnlyList<string> more) => JudgeAll([dump], more)[0];

    /// <summary>
    /// The same for many dumps, in their order. Each is opened by an engine of its own (0.3 s): one that has opened a broken dump judges the next one differently.
    /// </summary>
    public static IReadOnlyList<EngineVerdict> JudgeAll(IReadOnlyList<string> dumps, params IReadOnlyList<string> more)
    {
        SkipUnlessAccepted();
        return [.. dumps.AsParallel().AsOrdered().WithDegreeOfParallelism(2).Select(dump => JudgeOne(dump, [.. StandingQuestions, .. more, LastQuestion]))];
    }

    private static EngineVerdict JudgeOne(string dump, IReadOnlyList<string> questions)
    {
        string[] script = [$"open {Path.GetFullPath(dump)}", .. questions];
        var (_, output, errors) = Run(["-"], string.Join('\n', script) + "\n");
        if (EngineVerdict.ParseAll(output) is not [var verdict])
            throw new InvalidOperationException($"the debugger engine said nothing of {dump}: {errors}");
        return verdict;
    }

    private static (int Code, string Output, string Errors) Run(string[] arguments, string input)
    {
        var start = new ProcessStartInfo(Checkout.PathOf("eng/referee"), arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
            // The engine prints in a Windows code page; every byte must survive, and the facts asked for are ASCII.
            StandardOutputEncoding = Encoding.Latin1,
        };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        try
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended before it read its script: its exit code and output tell why.
        }
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"the debugger engine did not end within {Patience.TotalMinutes} minutes");
        }
        return (process.ExitCode, output.Result, errors.Result.Trim());
    }
}
