using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace Forengate.Guests;

/// <summary>
/// A copy of a stopped guest's memory that is under way while QEMU is asked for its registers: 10 to 15 ms that the guest would stand longer. Its threads are there before the guest is
/// stopped: one that is made while QEMU works too was seen to begin 40 ms late.
/// </summary>
internal sealed class BackgroundCopy : IDisposable
{
    private readonly CancellationTokenSource _end;
    private readonly ManualResetEventSlim _begin = new();
    private readonly Thread _thread;
    private Exception? _failure;
    private long _began;
    private bool _whole;
    private bool _ended;

    private BackgroundCopy(Func<ManualResetEventSlim, CancellationToken, bool> copy, CancellationToken ct)
    {
        _end = CancellationTokenSource.CreateLinkedTokenSource(ct);
        _thread = new Thread(() =>
        {
            try
            {
                _whole = copy(_begin, _end.Token);
                Took = Stopwatch.GetElapsedTime(_began);
            }
            catch (Exception e)
            {
                _failure = e;
            }
        })
        { IsBackground = true, Name = "guest copy" };
        _thread.Start();
    }

    /// <summary>How long the copying took, once it was waited for.</summary>
    public TimeSpan Took { get; private set; }

    /// <summary>Makes it ready to begin.</summary>
    /// <param name="target">Must outlive this.</param>
    /// <param name="source">Must outlive this.</param>
    /// <param name="map">The guest's, as the target was made for.</param>
    /// <param name="threads">That copy.</param>
    /// <param name="progress">Told from those threads.</param>
    /// <param name="ct">Ends it.</param>
    public static BackgroundCopy Prepare(CopiedMemory target, LiveMemory source, GuestMemoryMap map, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct) =>
        new((begin, end) => target.CopyFrom(source, map, threads, progress, end, begin), ct);

    /// <summary>The guest stands still: begins.</summary>
    public void Begin()
    {
        _began = Stopwatch.GetTimestamp();
        _begin.Set();
    }

    /// <summary>Waits for its end. False when the guest ended meanwhile.</summary>
    /// <exception cref="GuestException">It failed.</exception>
    /// <exception cref="OperationCanceledException">It was ended.</exception>
    public bool Wait()
    {
        _thread.Join();
        if (_failure is not null)
            ExceptionDispatchInfo.Throw(_failure);
        return _whole;
    }

    /// <summary>Ends it, begun or not, and returns when nothing copies any more.</summary>
    public void Dispose()
    {
        if (_ended)
            return;
        _ended = true;
        _end.Cancel();
        _thread.Join();
        _end.Dispose();
        _begin.Dispose();
    }
}
