namespace Forengate.Memory.Tests;

/// <summary>A file that is gone after the test.</summary>
internal sealed class TemporaryFile : IDisposable
{
    public TemporaryFile(string extension = ".elf")
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"forengate-memory-{Guid.NewGuid():N}{extension}");
    }

    public TemporaryFile(ReadOnlySpan<byte> content, string extension = ".elf")
        : this(extension) => File.WriteAllBytes(Path, content);

    public string Path { get; }

    public void Dispose() => File.Delete(Path);
}
