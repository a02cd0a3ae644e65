using System.Runtime.InteropServices;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary>What surrounds every command: Ctrl-C, one-line reasons, exit codes.</summary>
internal static class Run
{
    /// <summary>Set to see stack traces of failures: for developers, never for users.</summary>
    private const string TraceVariable = "FORENGATE_TRACE";

    public static int Guarded(Func<CancellationToken, int> work)
    {
        using var cancellation = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Cancel);
        try
        {
            return work(cancellation.Token);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            Console.Error.WriteLine("forengate: interrupted; nothing was left half-written");
            return ExitCode.Cancelled;
        }
        catch (Exception failure) when (Reasons.IsExpected(failure))
        {
            Trace(failure);
            return Fail(failure.Message);
        }
#pragma warning disable CA1031 // The last line of defence: a user gets a sentence and an exit code, never a stack trace.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Trace(failure);
            return Fail($"internal error: {failure.GetType()}: {failure.Message} (run again with {TraceVariable}=1 and report what it prints)");
        }

        void Cancel(PosixSignalContext context)
        {
            context.Cancel = true;
            cancellation.Cancel();
        }
    }

    public static int Fail(string reason)
    {
        Console.Error.WriteLine($"forengate: {OneLine(reason)}");
        return ExitCode.Failed;
    }

    public static void Say(IEnumerable<string> remarks)
    {
        foreach (var remark in remarks)
            Console.Error.WriteLine($"forengate: {OneLine(remark)}");
    }

    /// <summary>Lists what is missing; exit code 3 when anything is.</summary>
    public static int Incomplete(IReadOnlyCollection<string> missing)
    {
        Say(missing);
        return missing.Count == 0 ? ExitCode.Done : ExitCode.Incomplete;
    }

    private static string OneLine(string text) => TerminalText.MakeSafe(text.ReplaceLineEndings(" "));

    private static void Trace(Exception failure)
    {
        if (Environment.GetEnvironmentVariable(TraceVariable) == "1")
            Console.Error.WriteLine(failure);
    }
}
