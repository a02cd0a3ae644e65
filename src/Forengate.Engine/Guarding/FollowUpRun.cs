using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Forengate.Engine;

/// <summary>How a command ended.</summary>
/// <param name="ExitCode">Null when it was not started or killed.</param>
/// <param name="Took">From its start.</param>
/// <param name="Text">One line for people.</param>
/// <param name="Said">The last of what it printed.</param>
internal sealed record FollowUpResult(int? ExitCode, TimeSpan Took, string Text, IReadOnlyList<string> Said);

/// <summary>Runs the command that follows a dump, with the facts in its environment.</summary>
internal static class FollowUpRun
{
    private const string Prefix = "FORENGATE_";

    /// <summary>How much of its output is kept.</summary>
    private const int TailLength = 2000, TailLines = 10;

    /// <summary>A grandchild that keeps the pipe open must not hold the guard up.</summary>
    private static readonly TimeSpan s_lastWords = TimeSpan.FromMilliseconds(500);

    public static FollowUpResult Run(FollowUp command, GuardEvent dump, CancellationToken ct)
    {
        var start = new ProcessStartInfo(command.Words[0], command.Words.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in Facts(dump))
            start.Environment[Prefix + name] = value.Replace("\0", "", StringComparison.Ordinal);
        var clock = Stopwatch.StartNew();
        try
        {
            using var process = Process.Start(start)!;
            process.StandardInput.Close();
            var tail = new Tail();
            Task[] readers = [tail.Follow(process.StandardOutput), tail.Follow(process.StandardError)];
            var ended = WaitFor(process, command.TimeLimit, ct);
            if (!ended)
                process.Kill(entireProcessTree: true);
            Task.WaitAll(readers, s_lastWords);
            return ended
                ? new FollowUpResult(process.ExitCode, clock.Elapsed, string.Create(CultureInfo.InvariantCulture, $"{command.Words[0]} ended with exit code {process.ExitCode}"), tail.Lines)
                : new FollowUpResult(null, clock.Elapsed, $"{command.Words[0]} was killed: {(ct.IsCancellationRequested ? "the guard was ended" : $"it took longer than {GuardWords.Of(command.TimeLimit)}")}", tail.Lines);
        }
        catch (Exception e) when (e is Win32Exception or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            return new FollowUpResult(null, clock.Elapsed, $"{command.Words[0]} could not be run: {e.Message.ReplaceLineEndings(" ")}", []);
        }
    }

    private static bool WaitFor(Process process, TimeSpan limit, CancellationToken ct)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(ct);
        time.CancelAfter(limit);
        try
        {
            process.WaitForExitAsync(time.Token).GetAwaiter().GetResult();
            return true;
        }
        catch (OperationCanceledException)
        {
            return process.HasExited;
        }
    }

    /// <summary>What the command is told; docs/commands/guard.md lists it.</summary>
    private static IEnumerable<(string, string)> Facts(GuardEvent dump)
    {
        static string Hex(ulong value) => string.Create(CultureInfo.InvariantCulture, $"0x{value:X}");
        yield return ("GUEST", dump.Guest ?? "");
        yield return ("WHY", dump.Why ?? "");
        yield return ("TIME", (dump.HeardAt ?? dump.At).UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture));
        yield return ("FILE", dump.File ?? "");
        yield return ("BYTES", (dump.Bytes ?? 0).ToString(CultureInfo.InvariantCulture));
        yield return ("TYPE", dump.Type ?? "");
        yield return ("SHA256", dump.Sha256 ?? "");
        yield return ("ACTION", dump.Action ?? "");
        yield return ("COMPLETE", dump.Complete == true ? "1" : "0");
        yield return ("PAUSE_MS", dump.StoodStill is { } pause ? pause.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture) : "");
        yield return ("BUGCHECK", dump.Bugcheck is { } bug ? Hex(bug.StopCode) : "");
        yield return ("BUGCHECK_PARAMETERS", dump.Bugcheck is { } all ? string.Join(' ', Hex(all.Parameter1), Hex(all.Parameter2), Hex(all.Parameter3), Hex(all.Parameter4)) : "");
    }

    /// <summary>The end of what was printed, of bounded length.</summary>
    private sealed class Tail
    {
        private readonly StringBuilder _text = new();

        public IReadOnlyList<string> Lines
        {
            get
            {
                lock (_text)
                    return [.. _text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).TakeLast(TailLines)];
            }
        }

        public async Task Follow(StreamReader reader)
        {
            var buffer = new char[TailLength];
            try
            {
                while (await reader.ReadAsync(buffer).ConfigureAwait(false) is > 0 and var count)
                {
                    lock (_text)
                    {
                        _text.Append(buffer, 0, count);
                        if (_text.Length > TailLength)
                            _text.Remove(0, _text.Length - TailLength);
                    }
                }
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                // The command is over.
            }
        }
    }
}
