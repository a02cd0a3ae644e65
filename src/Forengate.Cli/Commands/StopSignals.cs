using System.Runtime.InteropServices;

namespace Forengate.Cli.Commands;

/// <summary>The first of Ctrl-C, SIGTERM and SIGHUP asks for an orderly end, the second for an end at once.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource _stop = new(), _abort = new();
    private readonly PosixSignalRegistration[] _signals;
    private int _count;

    public StopSignals() => _signals =
        [.. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP]).Select(signal => PosixSignalRegistration.Create(signal, Take))];

    /// <summary>Nothing new is begun.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>What is under way is cancelled.</summary>
    public CancellationToken Abort => _abort.Token;

    public void Dispose()
    {
        foreach (var signal in _signals)
            signal.Dispose();
        _stop.Dispose();
        _abort.Dispose();
    }

    private void Take(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _count) == 1)
            _stop.Cancel();
        else
            _abort.Cancel();
    }
}
