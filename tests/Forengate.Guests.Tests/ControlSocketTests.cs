namespace Forengate.Guests.Tests;

/// <summary>What is said to a watchdog goes to the watchdog, or nowhere.</summary>
public sealed class ControlSocketTests
{
    [Fact]
    public void What_is_said_after_the_end_does_not_reach_who_has_the_number_now()
    {
        var (own, other) = ControlSocket.Pair();
        other.Dispose();
        own.Dispose();
        // The kernel gives the lowest free numbers: these are the two that have just been closed, or others'.
        var (next, nextOther) = ControlSocket.Pair();
        using var reader = new ControlSocket(nextOther);
        using (next)
        {
            Assert.False(own.Send("reading"));
            Assert.Null(reader.Receive(TimeSpan.FromMilliseconds(20)));
            Assert.True(next.Send("ready"));
            Assert.Equal("ready", reader.Receive(TimeSpan.FromSeconds(5)));
        }
    }

    [Fact]
    public void A_pulse_that_has_ended_beats_no_more()
    {
        for (var round = 0; round < 50; round++)
        {
            var ended = false;
            var late = false;
            using (new Pulse(() => late |= Volatile.Read(ref ended), 1))
                Thread.Sleep(2);
            Volatile.Write(ref ended, true);
            Thread.Sleep(2);
            Assert.False(late);
        }
    }
}
