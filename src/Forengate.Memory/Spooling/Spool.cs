using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory;

/// <summary>
/// A temporary file for memory that was unpacked once and must be read at random. It has no name from the moment it is made: whatever happens to us, the system takes it back.
/// Not for several threads.
/// </summary>
internal sealed class Spool : IDisposable
{
    private const int BufferSize = 1 << 20;

    /// <summary>Free space is looked at each time so much was written.</summary>
    private const long BetweenLooks = 64 << 20;

    /// <summary>Free space that is left to others.</summary>
    private const long LeftFree = 256 << 20;

    private readonly string _image;
    private readonly string _folder;
    private readonly long _most;
    private readonly SafeFileHandle _file;
    private readonly byte[] _buffer = new byte[BufferSize];
    private int _filled;
    private long _nextLook;

    /// <param name="image">The image that is unpacked, for messages.</param>
    /// <param name="options">Say where, and how much at most.</param>
    /// <param name="least">Bytes that will be needed at least.</param>
    /// <exception cref="ImageFormatException">There is no room, or no file can be made: with the figures and what to do.</exception>
    public Spool(string image, ImageOpenOptions options, long least)
    {
        _image = image;
        _folder = options.CacheFolder ?? Path.GetTempPath();
        _most = options.Limits.SpoolBytes;
        try
        {
            Directory.CreateDirectory(_folder);
            CheckRoom(least);
            var path = Path.Combine(_folder, $"forengate-{Guid.NewGuid():N}.spool");
            var how = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, BufferSize = 0 };
            // Guest memory holds secrets.
            if (!OperatingSystem.IsWindows())
                how.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            using var made = new FileStream(path, how);
            File.Delete(path);
            _file = File.OpenHandle($"/proc/self/fd/{made.SafeFileHandle.DangerousGetHandle()}", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException and not ImageFormatException)
        {
            throw new ImageFormatException($"'{image}' must be unpacked to disk, and no file can be made in '{_folder}' ({e.Message}); name another folder by TMPDIR or the cache folder", e);
        }
    }

    /// <summary>Bytes kept so far, holes among them.</summary>
    public long Length { get; private set; }

    /// <summary>Bytes that were written, which is what it occupies.</summary>
    public long Written { get; private set; }

    /// <summary>The folder it is in.</summary>
    public string Folder => _folder;

    /// <summary>Appends bytes.</summary>
    /// <returns>Where they lie.</returns>
    /// <exception cref="ImageFormatException">There is no more room, or it may not be taken.</exception>
    public long Append(ReadOnlySpan<byte> bytes)
    {
        var at = Length;
        while (!bytes.IsEmpty)
        {
            var count = Math.Min(bytes.Length, _buffer.Length - _filled);
            bytes[..count].CopyTo(_buffer.AsSpan(_filled));
            _filled += count;
            Length += count;
            bytes = bytes[count..];
            if (_filled == _buffer.Length)
                Flush();
        }
        return at;
    }

    /// <summary>Appends zeros, which take no room.</summary>
    public void Skip(long count)
    {
        Flush();
        Length += count;
    }

    /// <summary>Ends the writing and maps the file.</summary>
    /// <param name="shownAs">The path that the mapped file gives as its own.</param>
    public MappedFile Map(string shownAs)
    {
        Flush();
        // An empty file can't be mapped.
        RandomAccess.SetLength(_file, Math.Max(Length, 1));
        return MappedFile.Open($"/proc/self/fd/{_file.DangerousGetHandle()}", shownAs);
    }

    /// <summary>Gives the file back; what was mapped of it stays.</summary>
    public void Dispose() => _file.Dispose();

    private void Flush()
    {
        if (_filled == 0)
            return;
        Written += _filled;
        if (Written > _most)
            throw new ImageFormatException($"unpacking '{_image}' takes more than {_most >> 20} MiB of disk, the bound that is set; convert it on a host with a higher one");
        if (Written >= _nextLook)
        {
            CheckRoom(BetweenLooks);
            _nextLook = Written + BetweenLooks;
        }
        try
        {
            RandomAccess.Write(_file, _buffer.AsSpan(0, _filled), Length - _filled);
        }
        catch (IOException e)
        {
            throw new ImageFormatException($"unpacking '{_image}' to '{_folder}' failed after {Written >> 20} MiB ({e.Message}); name a folder with more room by TMPDIR or the cache folder", e);
        }
        _filled = 0;
    }

    private void CheckRoom(long wanted)
    {
        long free;
        try
        {
            free = new DriveInfo(_folder).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // The file system does not say: writing will.
            return;
        }
        if (free - LeftFree < wanted)
        {
            throw new ImageFormatException(
                $"'{_image}' can't be read at random and must be unpacked to disk, but '{_folder}' has {free >> 20} MiB left and at least {(wanted + LeftFree) >> 20} MiB are needed"
                + (Written == 0 ? "" : $" after {Written >> 20} MiB written") + "; name a folder with more room by TMPDIR or the cache folder");
        }
    }
}
