using System.Globalization;

namespace Forengate.Testing.Twins;

/// <summary>Folders in memory for images, machines and dumps; all go when the test program ends.</summary>
public static class TwinFolders
{
    private static readonly string Base = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
    private static readonly Lazy<string> Own = new(Create);
    private static int s_last;

    /// <summary>A new empty folder. Its path is short: sockets are put into it.</summary>
    public static string New() => Directory.CreateDirectory(Path.Combine(Own.Value, Interlocked.Increment(ref s_last).ToString(CultureInfo.InvariantCulture))).FullName;

    private static string Create()
    {
        var folder = Directory.CreateDirectory(Path.Combine(Base, $"fgt-{Guid.NewGuid():N}"[..12])).FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        return folder;
    }
}
