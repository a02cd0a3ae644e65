using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory;

/// <summary>Where an image is written: a file, which takes its name only when it is whole; a pipe or device; standard output.</summary>
public sealed class ImageOutput : IDisposable
{
    /// <summary>The path that means standard output.</summary>
    public const string StandardOutput = "-";

    /// <summary>STDOUT_FILENO of POSIX.</summary>
    private const int StandardOutputDescriptor = 1;

    private readonly PartialFile? _file;
    private readonly FileStream _stream;

    private ImageOutput(PartialFile? file, FileStream stream)
    {
        _file = file;
        _stream = stream;
        Stream = file is not null ? stream : new ForwardOnlyStream(stream);
    }

    /// <summary>Can seek where it is a file.</summary>
    public Stream Stream { get; }

    /// <summary>Opens an output; nothing at its place is touched before <see cref="Finish"/>.</summary>
    /// <exception cref="IOException">It can't be made there.</exception>
    /// <exception cref="UnauthorizedAccessException">No right to.</exception>
    public static ImageOutput Open(string path)
    {
        // Not Console's stream: that one swallows the error of a reader who went away.
        if (path == StandardOutput)
            return new ImageOutput(null, new FileStream(new SafeFileHandle(StandardOutputDescriptor, ownsHandle: false), FileAccess.Write, bufferSize: 0));
        if (UnixFileKind.IsStream(path))
            return new ImageOutput(null, new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0));
        var file = PartialFile.Create(path);
        return new ImageOutput(file, file.Stream);
    }

    /// <summary>The output is whole.</summary>
    public void Finish()
    {
        if (_file is not null)
            _file.Finish();
        else
            Stream.Flush();
    }

    public void Dispose()
    {
        if (_file is not null)
            _file.Dispose();
        else
            _stream.Dispose();
    }
}
