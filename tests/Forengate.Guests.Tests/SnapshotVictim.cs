namespace Forengate.Guests.Tests;

/// <summary>A process that takes one view after the other of a guest, until something happens to it. It says "begun" when the first begins.</summary>
internal static class SnapshotVictim
{
    public const string Verb = "snapshots";

    /// <summary>Stops and copies instead.</summary>
    public const string StopVerb = "copies";

    public static int Run(CaptureMode mode, string[] arguments)
    {
        var options = new CaptureOptions { Mode = mode, Watchdog = WatchdogHost.ThisProgram(), ConnectUri = arguments.Length > 1 ? arguments[1] : null };
        for (; ; )
        {
            using var view = LiveCapture.Take(GuestTarget.Parse(arguments[0]), options, new Saying(), CancellationToken.None);
        }
    }

    private sealed class Saying : IProgress<CaptureProgress>
    {
        private bool _said;

        public void Report(CaptureProgress value)
        {
            if (value.Phase != CapturePhase.PreparingMemory || _said)
                return;
            _said = true;
            Console.WriteLine("begun");
        }
    }
}
