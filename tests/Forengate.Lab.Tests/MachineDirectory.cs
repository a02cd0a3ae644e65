namespace Forengate.Lab.Tests;

/// <summary>A directory with a short name in memory, gone with the test.</summary>
internal sealed class MachineDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateDirectory(
        System.IO.Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : System.IO.Path.GetTempPath(), $"twin-{Guid.NewGuid():N}"[..16])).FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
