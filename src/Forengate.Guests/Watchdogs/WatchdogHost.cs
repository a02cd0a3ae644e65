namespace Forengate.Guests;

/// <summary>
/// The program that becomes the watchdog when started with <see cref="Arguments"/>, the verb <see cref="Watchdog.Verb"/>, and what the watchdog must know.
/// Its Main passes such a command line to <see cref="Watchdog.RunAsChild"/> before it does anything else.
/// </summary>
/// <param name="Executable">Path of the program.</param>
/// <param name="Arguments">What stands before the verb (the assembly, where the program is the dotnet host).</param>
public sealed record WatchdogHost(string Executable, IReadOnlyList<string> Arguments)
{
    /// <summary>The running program itself. Only for programs whose Main honours <see cref="Watchdog.Verb"/>.</summary>
    /// <exception cref="GuestException">The running program's path can't be told.</exception>
    public static WatchdogHost ThisProgram()
    {
        var path = Environment.ProcessPath
            ?? throw new GuestException(GuestFailure.Watchdog, "the path of this program is unknown, so no watchdog can be started");
        if (Path.GetFileNameWithoutExtension(path) != "dotnet")
            return new WatchdogHost(path, []);
        var assembly = Environment.GetCommandLineArgs()[0];
        return new WatchdogHost(path, ["exec", Path.GetFullPath(assembly)]);
    }
}
