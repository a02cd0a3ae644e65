using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory;

/// <summary>A file that is written beside its place and takes its name only when it is whole. Disposed before that, it is gone.</summary>
public sealed class PartialFile : IDisposable
{
    /// <summary>Between the name to be and 32 hexadecimal digits.</summary>
    public const string Infix = ".partial-";

    private readonly string _path;
    private readonly string _partial;
    private bool _whole;

    private PartialFile(string path, string partial, FileStream stream) => (_path, _partial, Stream) = (path, partial, stream);

    /// <summary>Unbuffered, at position 0; owned.</summary>
    public FileStream Stream { get; }

    public SafeFileHandle Handle => Stream.SafeFileHandle;

    /// <summary>Creates <c>OUT.partial-…</c>, readable by its owner only: an image holds all of a guest's secrets.</summary>
    /// <exception cref="IOException">It can't be made there.</exception>
    /// <exception cref="UnauthorizedAccessException">No right to.</exception>
    public static PartialFile Create(string path)
    {
        var partial = $"{path}{Infix}{Guid.NewGuid():N}";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new PartialFile(path, partial, new FileStream(partial, options));
    }

    /// <summary>Gives the file its name; one that was there is replaced.</summary>
    public void Finish()
    {
        // Windows renames no open file. Elsewhere the lock is held until the name is its own, so that nobody takes a whole file for a leftover.
        if (OperatingSystem.IsWindows())
            Stream.Dispose();
        File.Move(_partial, _path, overwrite: true);
        _whole = true;
        Stream.Dispose();
    }

    public void Dispose()
    {
        Stream.Dispose();
        if (_whole)
            return;
        try
        {
            File.Delete(_partial);
        }
        catch (IOException)
        {
            // The directory went away or turned read-only: the first error is the one to tell.
        }
        catch (UnauthorizedAccessException)
        {
            // As above.
        }
    }
}
