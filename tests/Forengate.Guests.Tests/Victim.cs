using System.Runtime.InteropServices;

namespace Forengate.Guests.Tests;

/// <summary>A process that takes a guest and keeps it stopped until something happens to it. It says "holding" when the guest stands still.</summary>
internal static class Victim
{
    public const string Verb = "hold";

    public static int Run(string[] arguments)
    {
        var target = GuestTarget.Parse(arguments[0]);
        var deadline = TimeSpan.FromMilliseconds(int.Parse(arguments[1], null));
        using var cancelled = new CancellationTokenSource();
        // As the command line does it: Ctrl-C cancels.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context =>
        {
            context.Cancel = true;
            cancelled.Cancel();
        });
        try
        {
            using var view = LiveCapture.Take(
                target,
                new CaptureOptions
                {
                    Mode = CaptureMode.HoldStopped,
                    Watchdog = WatchdogHost.ThisProgram(),
                    Deadline = deadline,
                    ConnectUri = arguments.Length > 2 ? arguments[2] : null,
                },
                null,
                cancelled.Token);
            Console.WriteLine("holding");
            cancelled.Token.WaitHandle.WaitOne();
        }
        catch (GuestException e)
        {
            Console.WriteLine($"failed: {e.Message}");
            return 1;
        }
        Console.WriteLine("released");
        return 0;
    }
}
