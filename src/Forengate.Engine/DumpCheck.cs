using Forengate.Dumps;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>Judges a dump file as a debugger would read it.</summary>
public static class DumpCheck
{
    /// <param name="path">The dump.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <param name="options">Where profiles come from; null: what the program carries.</param>
    /// <exception cref="IOException">The file can't be read, or is no crash dump (<see cref="Memory.ImageFormatException"/>).</exception>
    public static CheckReport Of(string path, CancellationToken cancellation, TargetOptions? options = null)
    {
        using var profiles = KnownProfiles.Of(options ?? new TargetOptions(), cancellation);
        return DumpChecker.Check(path, (view, ct) => WindowsSystem.Find(view, profiles.Store, ct), cancellation);
    }
}
