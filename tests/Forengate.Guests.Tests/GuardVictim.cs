namespace Forengate.Guests.Tests;

/// <summary>
/// A process that guards guests until something happens to it. It says "listening" when it holds them, takes one word a line, and ends in order with the last.
/// </summary>
internal static class GuardVictim
{
    public const string Verb = "guard-victim";

    /// <summary>Lends the first guest's monitor to a capture that keeps the guest stopped; it says "holding" then.</summary>
    public const string Lend = "lend";

    /// <summary>In place of <see cref="Kept"/>: without a keeper.</summary>
    public const string Alone = "alone";
    public const string Kept = "kept";

    /// <param name="arguments"><see cref="Kept"/> or <see cref="Alone"/>, then "qmp" and sockets, or a libvirt URI and guests.</param>
    public static int Run(string[] arguments)
    {
        var options = new AlarmOptions { Watchdog = arguments[0] == Alone ? null : WatchdogHost.ThisProgram() };
        string[] guests = arguments[2..];
        try
        {
            using var source = arguments[1] == "qmp"
                ? AlarmSources.Join([.. guests.Select(socket => AlarmSources.ForQmp(socket, options, null, CancellationToken.None))])
                : AlarmSources.ForLibvirt(arguments[1], guests, options, CancellationToken.None);
            Console.WriteLine("listening");
            while (Console.ReadLine() is { } word)
            {
                if (word != Lend)
                    continue;
                var target = new GuestTarget(GuestTargetKind.Qmp, guests[0]);
                using var loan = source.Lend(target, CancellationToken.None);
                using var view = LiveCapture.Take(target, TestQemu.Options(CaptureMode.HoldStopped), null, CancellationToken.None);
                Console.WriteLine("holding");
                Thread.Sleep(Timeout.Infinite);
            }
        }
        catch (GuestException e)
        {
            Console.WriteLine($"failed: {e.Message}");
            return 1;
        }
        Console.WriteLine("ended");
        return 0;
    }
}
