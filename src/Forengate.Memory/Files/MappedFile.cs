using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory;

/// <summary>
/// A regular file mapped read-only as a whole. Spans may start anywhere, beyond 2 GiB too; a single span is at most 2 GiB less one byte long.
/// </summary>
/// <remarks>
/// Nothing outside <see cref="Length"/>, the size when it was opened, is ever handed out. A file that <em>another program shortens later</em> is different: touching the lost
/// part raises SIGBUS, which ends the process, as with every mapping. Images are therefore opened when they are whole, and long passes call <see cref="CheckLength"/> before each
/// part: from then on the lost part is no longer handed out, which leaves only the moment in between. Growing, overwriting, renaming or deleting the file does no harm.
/// Spans live until <see cref="Dispose"/>; the caller keeps the object alive and does not dispose it while another thread reads.
/// </remarks>
public sealed unsafe class MappedFile : IDisposable
{
    private const int TypeMask = 0xF000;
    private const int TypeFifo = 0x1000;
    private const int TypeCharacterDevice = 0x2000;
    private const int TypeDirectory = 0x4000;
    private const int TypeBlockDevice = 0x6000;
    private const int TypeRegular = 0x8000;
    private const int TypeSocket = 0xC000;
    private const ulong StatBlockSize = 512;

    private readonly SafeFileHandle _file;
    private readonly MappingHandle _mapping;
    private readonly byte* _start;
    private long _readable;

    private MappedFile(string path, SafeFileHandle file, MappingHandle mapping, long length, bool isSparse)
    {
        Path = path;
        _file = file;
        _mapping = mapping;
        _start = (byte*)mapping.DangerousGetHandle();
        Length = length;
        _readable = length;
        IsSparse = isSparse;
    }

    /// <summary>The path as it was given.</summary>
    public string Path { get; }

    /// <summary>Size in bytes when the file was opened; never 0.</summary>
    public long Length { get; }

    /// <summary>True when the file occupies less than its size: it may have holes, which read as zeros.</summary>
    public bool IsSparse { get; }

    /// <summary>Looks whether the file was shortened since it was opened; nothing behind its new end is handed out from now on.</summary>
    /// <returns>False when it is shorter than <see cref="Length"/>.</returns>
    public bool CheckLength()
    {
        Libc.Statx stat;
        if (Libc.StatxOf(_file, string.Empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &stat) == 0 && stat.Size < (ulong)_readable)
            _readable = (long)stat.Size;
        return _readable == Length;
    }

    /// <summary>Opens and maps a file.</summary>
    /// <exception cref="ImageFormatException">Missing, empty, a directory or device, no permission, …: one line says which.</exception>
    public static MappedFile Open(string path) => Open(path, path);

    /// <inheritdoc cref="Open(string)"/>
    /// <param name="path">What is opened.</param>
    /// <param name="shownAs">What <see cref="Path"/> says: the image, where <paramref name="path"/> is a nameless file that holds it unpacked.</param>
    internal static MappedFile Open(string path, string shownAs)
    {
        // Not blocking: opening a pipe nobody writes to would otherwise hang before we can see that it is one.
        var file = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC | Libc.O_NONBLOCK | Libc.O_NOCTTY);
        try
        {
            if (file.IsInvalid)
                throw Fail(path, OpenReason(Marshal.GetLastPInvokeError()));
            Libc.Statx stat;
            if (Libc.StatxOf(file, string.Empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &stat) != 0)
                throw Fail(path, Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError()));
            if ((stat.Mode & TypeMask) != TypeRegular)
                throw Fail(path, KindReason(stat.Mode & TypeMask));
            if (stat.Size == 0)
                throw Fail(path, "it is empty; was the program that writes it still running, or the disk full?");
            if (stat.Size > long.MaxValue)
                throw Fail(path, "its size is beyond any file system");

            var address = Libc.Map(0, (nuint)stat.Size, Libc.PROT_READ, Libc.MAP_SHARED | Libc.MAP_NORESERVE, file, 0);
            var mapping = new MappingHandle(address, (nuint)stat.Size);
            if (mapping.IsInvalid)
            {
                var reason = Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());
                mapping.Dispose();
                throw Fail(path, $"mapping its {stat.Size} bytes was refused ({reason}); copy it to a local file system");
            }
            return new MappedFile(shownAs, file, mapping, (long)stat.Size, stat.Blocks * StatBlockSize < stat.Size);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Bytes at <paramref name="offset"/>: as many as there are, at most <paramref name="maxLength"/>; empty behind the end.</summary>
    public ReadOnlySpan<byte> Span(long offset, int maxLength)
    {
        ObjectDisposedException.ThrowIf(_mapping.IsClosed, this);
        var readable = Volatile.Read(ref _readable);
        if (offset < 0 || offset >= readable || maxLength <= 0)
            return default;
        return new ReadOnlySpan<byte>(_start + offset, (int)Math.Min(maxLength, readable - offset));
    }

    /// <summary>True when all of the part lies in the file. Safe for any values, overflowing ones too.</summary>
    public bool Holds(ulong offset, ulong length)
    {
        var readable = (ulong)Volatile.Read(ref _readable);
        return offset <= readable && length <= readable - offset;
    }

    /// <summary>Reads one little-endian value of fixed size, or fails.</summary>
    public bool TryRead<T>(ulong offset, out T value)
        where T : unmanaged
    {
        if (!Holds(offset, (ulong)sizeof(T)))
        {
            value = default;
            return false;
        }
        return MemoryMarshal.TryRead(Span((long)offset, sizeof(T)), out value);
    }

    /// <summary>A hint to the kernel; without effect where it can't be followed.</summary>
    public void Advise(MappedFileAdvice advice, long offset = 0, long length = long.MaxValue)
    {
        ObjectDisposedException.ThrowIf(_mapping.IsClosed, this);
        if (offset < 0 || offset >= Length || length <= 0)
            return;
        var start = offset & ~(long)Page.OffsetMask;
        var end = length > Length - offset ? Length : offset + length;
        _ = Libc.Advise((nint)(_start + start), (nuint)(end - start), (int)advice);
    }

    /// <summary>
    /// The first hole (a stretch the file system stores nothing for, which reads as zeros) that ends behind <paramref name="offset"/>; false where there is none or the file
    /// system can't tell.
    /// </summary>
    public bool TryFindHole(long offset, out long start, out long end)
    {
        start = end = 0;
        if (!IsSparse || offset < 0 || offset >= Length)
            return false;
        var hole = Libc.Seek(_file, offset, Libc.SEEK_HOLE);
        if (hole < 0 || hole >= Length)
            return false;
        var data = Libc.Seek(_file, hole, Libc.SEEK_DATA);
        if (data < 0)
        {
            if (Marshal.GetLastPInvokeError() != Libc.ENXIO)
                return false;
            data = Length;
        }
        (start, end) = (hole, Math.Min(data, Length));
        return end > start;
    }

    public void Dispose()
    {
        _mapping.Dispose();
        _file.Dispose();
    }

    private static ImageFormatException Fail(string path, string reason) => new($"cannot open '{path}': {reason}");

    private static string OpenReason(int error) => error switch
    {
        Libc.ENOENT or Libc.ENOTDIR => "there is no such file",
        Libc.EACCES or Libc.EPERM => "no permission; try as its owner or as root",
        Libc.ENXIO => KindReason(TypeSocket),
        _ => Marshal.GetPInvokeErrorMessage(error),
    };

    private static string KindReason(int type) => type switch
    {
        TypeDirectory => "it is a directory; name the image file in it",
        TypeFifo => "it is a pipe; write the image to a file first",
        TypeSocket => "it is a socket; for a QMP socket say qmp:PATH",
        TypeCharacterDevice => "it is a character device, not an image file",
        TypeBlockDevice => "it is a block device, which holds a disk, not memory",
        _ => "it is no regular file",
    };
}
