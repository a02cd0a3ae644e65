using System.Runtime.ExceptionServices;

namespace Forengate.Testing.Hostile;

/// <summary>Runs what may hang or eat memory, and fails the test when it does.</summary>
public static class Bounded
{
    /// <summary>Far more than any honest work on a small input takes: only a hang meets it, on a busy machine too.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Enough for any bookkeeping of a reader beside its input, far too little for a table whose size the input made up.</summary>
    public const long Allowance = 64L << 20;

    /// <summary>
    /// Runs <paramref name="work"/> on a thread of its own. Fails when it is not done after <paramref name="patience"/> (its token is cancelled then) or when that
    /// thread allocated more than <paramref name="allowance"/> bytes; other threads' allocations, other tests' among them, are not counted. Its exceptions pass.
    /// </summary>
    public static void Run(Action<CancellationToken> work, long allowance = Allowance, TimeSpan? patience = null, Func<string>? describe = null)
    {
        var deadline = patience ?? Patience;
        using var cancellation = new CancellationTokenSource();
        ExceptionDispatchInfo? thrown = null;
        var allocated = 0L;
        var thread = new Thread(() =>
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                work(cancellation.Token);
            }
            catch (Exception exception)
            {
                thrown = ExceptionDispatchInfo.Capture(exception);
            }
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        })
        {
            // A hanging one must not keep the test process alive.
            IsBackground = true,
            Name = nameof(Bounded),
        };
        thread.Start();
        if (!thread.Join(deadline))
        {
            cancellation.Cancel();
            // One that heeds its token may end now; one that does not is left to die with the process, token and all.
            thread.Join(TimeSpan.FromSeconds(2));
            Assert.Fail($"not done after {deadline.TotalSeconds} s{Where(describe)}");
        }
        thrown?.Throw();
        if (allocated > allowance)
            Assert.Fail($"allocated {allocated >> 10:n0} KiB, {allowance >> 10:n0} KiB allowed{Where(describe)}");
    }

    /// <summary>
    /// Gives every spoilt copy of <paramref name="good"/> to <paramref name="parse"/>: each must end, within the allowance, and without an exception:
    /// a reader of ours says what is wrong with its input in a value. Where exceptions are part of a reader's contract, let <paramref name="parse"/> catch those.
    /// </summary>
    public static void Survives(byte[] good, ulong seed, int count, Action<byte[]> parse, long allowance = Allowance, TimeSpan? patience = null)
    {
        Mutation? current = null;
        Run(token =>
        {
            foreach (var mutation in Mutations.Of(good, seed, count))
            {
                token.ThrowIfCancellationRequested();
                current = mutation;
                var before = GC.GetAllocatedBytesForCurrentThread();
                try
                {
                    parse(mutation.Bytes);
                }
                catch (Exception exception)
                {
                    throw new InvalidOperationException($"{mutation} was met with {exception.GetType().Name}: {exception.Message}", exception);
                }
                var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                if (allocated > allowance)
                    Assert.Fail($"allocated {allocated >> 10:n0} KiB, {allowance >> 10:n0} KiB allowed, on {mutation}");
            }
        }, long.MaxValue, patience, () => current?.ToString() ?? "the first mutation");
    }

    private static string Where(Func<string>? describe) => describe is null ? "" : $", on {describe()}";
}
