using System.Security.Cryptography;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>What is done about one crash: the dump, the guest's own crash action, then all that the guest need not wait for.</summary>
internal sealed class GuardWork(GuardOptions options, IGuardDumper dumper, RateLimiter limiter, GuardJournal journal)
{
    /// <summary>An action that failed (libvirtd restarts) is tried again so often, after so long.</summary>
    private const int ActAttempts = 3;

    private static readonly TimeSpan s_actAgain = TimeSpan.FromSeconds(1);

    private const int HashChunk = 1 << 20;

    private readonly Lock _limiting = new();

    /// <summary>Makes a dump if there may be one, and lets the guest go; what was done is in the journal.</summary>
    /// <param name="order">Of whom, and why.</param>
    /// <param name="letGo">Gives the holds to be applied; what is heard of the guest after that is another crash.</param>
    /// <param name="abort">Cancels the dump, not the guest's crash action.</param>
    /// <returns>The line in the journal that tells how it went.</returns>
    public GuardEvent Dump(DumpOrder order, Func<IReadOnlyList<CrashHold>> letGo, CancellationToken abort)
    {
        var heard = journal.Now;
        bool allowed;
        long suppressed;
        lock (_limiting)
        {
            allowed = limiter.TryTake(order.Guest.ToString());
            suppressed = allowed ? limiter.TakeSuppressed(order.Guest.ToString()) : limiter.SuppressedOf(order.Guest.ToString());
        }
        if (!allowed)
        {
            return Written(Line(order, GuardEventKind.Suppressed, $"{order.Alarm.Text}: no dump, there were {options.AtMost} already") with { Suppressed = suppressed }, order, letGo, heard, coreFile: null);
        }
        WrittenDump dump;
        try
        {
            dump = dumper.Write(order, abort);
        }
        catch (OperationCanceledException)
        {
            return Written(Line(order, GuardEventKind.Failed, $"{order.Alarm.Text}: the dump was cancelled"), order, letGo, heard, coreFile: null);
        }
        catch (NoRoomException e)
        {
            return Written(Line(order, GuardEventKind.Declined, $"{order.Alarm.Text}: no dump: {e.Message}; {GuardReadiness.Mib(options.Reserve)} are to stay free"), order, letGo, heard, coreFile: null);
        }
#pragma warning disable CA1031 // Whatever a guest's memory did to us: it must be let go, and the other guests are guarded on.
        catch (Exception e)
#pragma warning restore CA1031
        {
            var reason = Reasons.IsExpected(e) ? e.Message : $"internal error: {e.GetType()}: {e.Message}";
            return Written(Line(order, GuardEventKind.Failed, $"{order.Alarm.Text}: no dump: {reason}"), order, letGo, heard, CoreFile(order));
        }
        var action = Act(order, letGo(), coreFile: null, tell: false, abort);
        var held = journal.Now - heard;
        var line = Line(order, GuardEventKind.Dumped, order.Alarm.Text) with
        {
            HeardAt = order.Alarm.At,
            File = dump.Path,
            Bytes = dump.Bytes,
            Type = dump.Kind.ToString().ToLowerInvariant(),
            StoodStill = dump.StoodStill,
            Held = order.Alarm.Hold is null ? null : held,
            Bugcheck = dump.Bugcheck,
            Action = action,
            Complete = dump.Gaps.Count == 0,
            Suppressed = suppressed > 0 ? suppressed : null,
            Lines = [.. dump.Gaps, .. dump.Remarks],
        };
        line = Hashed(line, abort);
        journal.Write(line);
        Retain(order);
        return line;
    }

    /// <summary>Runs the user's command for a dump, where there is one; without a dump nothing is done.</summary>
    public void Follow(GuardEvent dumped, CancellationToken abort)
    {
        if (options.Run is not { } command || dumped.Kind != GuardEventKind.Dumped)
            return;
        var result = FollowUpRun.Run(command, dumped, abort);
        journal.Write(new GuardEvent
        {
            Kind = result.ExitCode == 0 ? GuardEventKind.Ran : GuardEventKind.Failed,
            At = journal.Now,
            Guest = dumped.Guest,
            Why = dumped.Why,
            File = dumped.File,
            Text = result.Text,
            ExitCode = result.ExitCode,
            Took = result.Took,
            Lines = result.Said,
        });
    }

    /// <summary>Lets a guest's own crash action happen.</summary>
    /// <param name="order">Whose.</param>
    /// <param name="holds">What is held back.</param>
    /// <param name="coreFile">Where libvirt may write the core that it was asked for; null: nowhere.</param>
    /// <param name="tell">Writes what was done into the journal.</param>
    /// <param name="abort">Ends the waiting between two attempts.</param>
    /// <returns>What was done; null where nothing was held back.</returns>
    public string? Act(DumpOrder order, IReadOnlyList<CrashHold> holds, string? coreFile, bool tell, CancellationToken abort)
    {
        List<string> done = [];
        foreach (var hold in holds)
        {
            for (var attempt = 1; ; attempt++)
            {
                try
                {
                    done.Add(hold.Apply(attempt == 1 ? coreFile : null, CancellationToken.None));
                    break;
                }
                catch (IOException e) when (attempt < ActAttempts)
                {
                    journal.Write(GuardEventKind.Heard, order.Guest.ToString(), $"the crash action '{GuardReadiness.NameOf(hold.Action)}' is tried again: {e.Message}", order.Why);
                    abort.WaitHandle.WaitOne(s_actAgain);
                }
                catch (IOException e)
                {
                    journal.Write(GuardEventKind.Failed, order.Guest.ToString(), $"the crash action '{GuardReadiness.NameOf(hold.Action)}' could not be done: {e.Message}; do it by hand", order.Why);
                    break;
                }
            }
        }
        if (done.Count == 0)
            return null;
        var text = string.Join("; ", done.Distinct());
        if (tell)
            journal.Write(Line(order, GuardEventKind.Acted, text) with { Action = text });
        return text;
    }

    /// <summary>Writes the line of a crash without a dump, with what was done to the guest.</summary>
    private GuardEvent Written(GuardEvent line, DumpOrder order, Func<IReadOnlyList<CrashHold>> letGo, DateTimeOffset heard, string? coreFile)
    {
        var action = Act(order, letGo(), coreFile, tell: false, CancellationToken.None);
        line = line with { HeardAt = order.Alarm.At, Action = action, Held = action is null ? null : journal.Now - heard, Bugcheck = order.Alarm.Bugcheck };
        journal.Write(line);
        return line;
    }

    /// <summary>Where our dump failed, libvirt's own core is better than nothing.</summary>
    private string? CoreFile(DumpOrder order) => order.Alarm.Hold is { Action: CrashAction.CoredumpDestroy or CrashAction.CoredumpRestart }
        ? Path.ChangeExtension(new DumpFileName(order.Label, order.Alarm.At, order.Why, order.Alarm.Bugcheck?.StopCode ?? 0).FreePathIn(options.Folder), ".core")
        : null;

    private GuardEvent Line(DumpOrder order, GuardEventKind kind, string text) => new() { Kind = kind, At = journal.Now, Guest = order.Guest.ToString(), Why = order.Why, Text = text };

    private static GuardEvent Hashed(GuardEvent line, CancellationToken abort)
    {
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            using var file = new FileStream(line.File!, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
            var buffer = new byte[HashChunk];
            while (file.Read(buffer) is > 0 and var count)
            {
                abort.ThrowIfCancellationRequested();
                hash.AppendData(buffer, 0, count);
            }
            return line with { Sha256 = Convert.ToHexStringLower(hash.GetHashAndReset()) };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or OperationCanceledException)
        {
            return line with { Lines = [.. line.Lines, $"the dump's SHA-256 is not known: {e.Message}"] };
        }
    }

    private void Retain(DumpOrder order)
    {
        if (options.Keep is null && options.KeepBytes is null)
            return;
        try
        {
            foreach (var old in new Retention(options.Keep, options.KeepBytes).Excess(Retention.Find(options.Folder, order.Label)))
            {
                File.Delete(old.Path);
                journal.Write(Line(order, GuardEventKind.Removed, $"no more than {Kept} of a guest are kept") with { File = old.Path, Bytes = old.Bytes, Why = null });
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            journal.Write(GuardEventKind.Failed, order.Guest.ToString(), $"an old dump could not be removed: {e.Message}");
        }
    }

    private string Kept => (options.Keep, options.KeepBytes) switch
    {
        ({ } count, { } bytes) => $"{count} dumps and {GuardReadiness.Mib(bytes)}",
        ({ } count, null) => $"{count} dumps",
        var (_, bytes) => GuardReadiness.Mib(bytes ?? 0),
    };
}
