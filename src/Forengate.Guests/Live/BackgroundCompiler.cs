using System.Diagnostics;
using System.Runtime;
using System.Runtime.CompilerServices;

namespace Forengate.Guests;

/// <summary>
/// The runtime compiles anew, in the background, what was called often, once nothing new was called for 0.1 to 0.2 s. With a large guest that is when it has been stopped and is copied:
/// 0.1 to 0.2 s of a core then, of the two cores that it was measured on a fifth of all that the copying took. So it is let through before.
/// </summary>
internal static class BackgroundCompiler
{
    /// <summary>Longer than the runtime waits: it looks every 100 ms whether something new was called since (its setting TC_CallCountingDelayMs).</summary>
    public static readonly TimeSpan Calm = TimeSpan.FromMilliseconds(250);

    /// <summary>What is not through by then goes on beside the copying, as it would without waiting.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(10);

    /// <summary>A guest that stands still for less runs again before the runtime begins: something new is always called in the stop.</summary>
    public static readonly TimeSpan Worth = TimeSpan.FromMilliseconds(100);

    /// <summary>Waits until nothing has been compiled for a while; not at all in a program that was compiled ahead as a whole.</summary>
    /// <param name="ct">Ends it.</param>
    public static void AwaitCalm(CancellationToken ct)
    {
        if (!RuntimeFeature.IsDynamicCodeCompiled)
            return;
        var began = Stopwatch.GetTimestamp();
        var (last, changed) = (JitInfo.GetCompiledMethodCount(), began);
        while (Stopwatch.GetElapsedTime(changed) < Calm && Stopwatch.GetElapsedTime(began) < s_patience && !ct.WaitHandle.WaitOne(s_look))
        {
            if (JitInfo.GetCompiledMethodCount() is var count && count != last)
                (last, changed) = (count, Stopwatch.GetTimestamp());
        }
        ct.ThrowIfCancellationRequested();
    }
}
