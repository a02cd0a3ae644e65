using Forengate.Testing.Hostile;
using Xunit.Sdk;

namespace Forengate.House.Tests.Hostile;

public sealed class BoundedTests
{
    [Fact]
    public void Lets_honest_work_pass()
    {
        var done = false;
        Bounded.Run(_ => done = true);
        Assert.True(done);
    }

    [Fact]
    public void Fails_what_hangs_and_cancels_it()
    {
        using var cancelled = new ManualResetEventSlim();
        var failure = Assert.ThrowsAny<XunitException>(() => Bounded.Run(token =>
        {
            token.WaitHandle.WaitOne();
            cancelled.Set();
        }, patience: TimeSpan.FromMilliseconds(50)));
        Assert.Contains("not done", failure.Message, StringComparison.Ordinal);
        Assert.True(cancelled.IsSet);
    }

    [Fact]
    public void Fails_what_eats_memory() =>
        Assert.Contains("allocated", Assert.ThrowsAny<XunitException>(() => Bounded.Run(_ => GC.KeepAlive(new byte[2 << 20]), allowance: 1 << 20)).Message, StringComparison.Ordinal);

    [Fact]
    public void Lets_exceptions_through() => Assert.Throws<FormatException>(() => Bounded.Run(_ => throw new FormatException()));

    [Fact]
    public void Names_the_mutation_that_a_reader_does_not_survive()
    {
        // A reader that believes a length field.
        static void Believing(byte[] bytes)
        {
            if (bytes.Length >= 4)
                _ = bytes.AsSpan(4, BitConverter.ToInt32(bytes));
        }

        byte[] good = [8, 0, 0, 0, .. new byte[60]];
        Believing(good);
        var failure = Assert.Throws<InvalidOperationException>(() => Bounded.Survives(good, 1, 500, Believing));
        Assert.Matches(@"^mutation \d+ of seed 1: .* was met with ArgumentOutOfRangeException", failure.Message);
    }

    [Fact]
    public void Names_the_mutation_that_makes_a_reader_allocate()
    {
        static void Believing(byte[] bytes)
        {
            if (bytes.Length >= 4)
                GC.KeepAlive(new byte[Math.Clamp(BitConverter.ToInt32(bytes), 0, 512 << 20)]);
        }

        byte[] good = [8, 0, 0, 0, .. new byte[60]];
        var failure = Assert.Throws<FailException>(() => Bounded.Survives(good, 1, 500, Believing, allowance: 1 << 20));
        Assert.Matches(@"allocated .* on mutation \d+ of seed 1", failure.Message);
    }
}
