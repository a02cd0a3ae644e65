using Forengate.Dumps;
using Forengate.Symbols;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>Judges a dump file as a debugger would read it.</summary>
public static class DumpCheck
{
    /// <exception cref="IOException">The file can't be read, or is no crash dump (<see cref="Memory.ImageFormatException"/>).</exception>
    public static CheckReport Of(string path, CancellationToken cancellation) =>
        DumpChecker.Check(path, (view, ct) => WindowsSystem.Find(view, ProfileStore.Carried, ct), cancellation);
}
