using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>Lets the program be its own watchdog: the process that continues a stopped guest when this one no longer can.</summary>
public static class LiveGuard
{
    /// <summary>Runs as watchdog when the command line says so. Call it before anything else in Main.</summary>
    /// <param name="args">The program's arguments.</param>
    /// <param name="exitCode">What Main should return when this returns true.</param>
    public static bool TryRun(string[] args, out int exitCode)
    {
        exitCode = 0;
        if (args.Length == 0 || args[0] != Watchdog.Verb)
            return false;
        exitCode = Watchdog.RunAsChild(args.AsSpan(1).ToArray());
        return true;
    }
}
