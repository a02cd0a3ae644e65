using System.Diagnostics;
using System.Reflection.Emit;

namespace Forengate.Guests.Tests;

/// <summary>What the runtime compiles in the background is through before a guest is stopped.</summary>
public sealed class BackgroundCompilerTests
{
    private static readonly TimeSpan s_busy = TimeSpan.FromMilliseconds(600);
    private static readonly TimeSpan s_calm = TimeSpan.FromMilliseconds(200);

    [Fact]
    public void It_waits_while_something_is_compiled()
    {
        var (began, last) = (Stopwatch.GetTimestamp(), 0L);
        var compiling = new Thread(() =>
        {
            for (var i = 0; Stopwatch.GetElapsedTime(began) < s_busy; i++)
            {
                Compile(i);
                Volatile.Write(ref last, Stopwatch.GetTimestamp());
                Thread.Sleep(5);
            }
        });
        compiling.Start();
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref last) != 0, TimeSpan.FromSeconds(60)));
        BackgroundCompiler.AwaitCalm(TestContext.Current.CancellationToken);
        // Not by when the other thread ends: a busy host may let it wait for longer than the calm lasts.
        var calm = Stopwatch.GetElapsedTime(Volatile.Read(ref last));
        compiling.Join();
        Assert.True(calm > s_calm, $"it returned {calm.TotalMilliseconds:0} ms after a method was compiled");
    }

    [Fact]
    public async Task It_does_not_wait_for_ever()
    {
        using var end = new CancellationTokenSource();
        var compiling = new Thread(() =>
        {
            for (var i = 0; !end.IsCancellationRequested; i++)
            {
                Compile(i);
                Thread.Sleep(5);
            }
        });
        compiling.Start();
        try
        {
            await Task.Run(() => BackgroundCompiler.AwaitCalm(TestContext.Current.CancellationToken), TestContext.Current.CancellationToken)
                .WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        }
        finally
        {
            await end.CancelAsync();
            compiling.Join();
        }
    }

    [Fact]
    public void It_can_be_ended()
    {
        using var end = new CancellationTokenSource();
        end.Cancel();
        Assert.Throws<OperationCanceledException>(() => BackgroundCompiler.AwaitCalm(end.Token));
    }

    private static void Compile(int number)
    {
        var method = new DynamicMethod($"m{number}", typeof(int), null);
        var code = method.GetILGenerator();
        code.Emit(OpCodes.Ldc_I4, number);
        code.Emit(OpCodes.Ret);
        Assert.Equal(number, method.CreateDelegate<Func<int>>()());
    }
}
