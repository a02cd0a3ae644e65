using Microsoft.Win32.SafeHandles;

namespace Forengate.Dumps;

/// <summary>A file that is written beside its place and takes its name only when it is whole. Disposed before that, it is gone.</summary>
internal sealed class PartialFile : IDisposable
{
    private readonly string _path;
    private readonly string _partial;
    private bool _whole;

    private PartialFile(string path, string partial, SafeFileHandle handle) => (_path, _partial, Handle) = (path, partial, handle);

    public SafeFileHandle Handle { get; }

    /// <summary>Creates <c>OUT.partial-…</c>, readable by its owner only: a dump holds all of a guest's secrets.</summary>
    public static PartialFile Create(string path)
    {
        var partial = $"{path}.partial-{Guid.NewGuid():N}";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var stream = new FileStream(partial, options);
        return new PartialFile(path, partial, stream.SafeFileHandle);
    }

    /// <summary>Gives the file its name; one that was there is replaced.</summary>
    public void Finish()
    {
        Handle.Dispose();
        File.Move(_partial, _path, overwrite: true);
        _whole = true;
    }

    public void Dispose()
    {
        Handle.Dispose();
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
