namespace Forengate.Guests.Tests;

/// <summary>A process that takes one capture by libvirt's own means after the other until something happens to it, or just one. It says "begun" when the first begins.</summary>
internal static class PortableVictim
{
    public const string Verb = "portable";
    public const string OnceVerb = "portable-once";

    /// <param name="arguments">Target, URI, means.</param>
    public static int Run(string[] arguments)
    {
        var options = Options(arguments);
        for (; ; )
        {
            using var view = LiveCapture.Take(GuestTarget.Parse(arguments[0]), options, new Saying(), CancellationToken.None);
        }
    }

    /// <summary>Says what came of it: the way, how many CPUs, how many stamps that disagree.</summary>
    public static int RunOnce(string[] arguments)
    {
        try
        {
            using var view = LiveCapture.Take(GuestTarget.Parse(arguments[0]), Options(arguments), null, CancellationToken.None);
            Console.WriteLine($"{string.Join(' ', view.Origin.Actions)}; {view.Cpus.Count}; {StampCheck.Disagreeing(view.Memory)}; {view.Origin.Remarks[0]}");
        }
        catch (GuestException e)
        {
            Console.WriteLine(e.Message);
            return 1;
        }
        return 0;
    }

    private static CaptureOptions Options(string[] arguments) => TestQemu.Options(CaptureMode.Auto) with { ConnectUri = arguments[1], Means = Enum.Parse<CaptureMeans>(arguments[2]), Deadline = TimeSpan.FromSeconds(2) };

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
