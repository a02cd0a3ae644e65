using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// A file for the part of a guest's copy that the host has no memory for. It has its whole length on the disk before the guest is touched, no name, and is gone with the process. It is
/// written past the page cache, so that it takes no memory from the other guests of the host.
/// </summary>
internal sealed unsafe class SpillFile : IDisposable
{
    /// <summary>What is written at a time, and what lengths and offsets are multiples of: more than any disk needs to be aligned to, and enough for its full speed.</summary>
    public const ulong Block = 8 << 20;

    private const uint OwnerOnly = 0b110_000_000;

    /// <summary>How much is written to learn a disk's speed, and for how long at most.</summary>
    private const ulong Trial = 64 << 20;
    private static readonly TimeSpan s_trial = TimeSpan.FromSeconds(1);

    private readonly Descriptor _file;

    private SpillFile(Descriptor file, string folder, ulong length)
    {
        _file = file;
        Folder = folder;
        Length = length;
    }

    public string Folder { get; }

    /// <summary>Bytes, all of them on the disk.</summary>
    public ulong Length { get; }

    public int Number => _file.Number;

    /// <summary>Makes the file.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="length">Bytes, rounded up to <see cref="Block"/>.</param>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>: there is no such folder, no right, or no room.</exception>
    public static SpillFile Create(string folder, ulong length)
    {
        length = RoundUp(length);
        var file = Open(folder);
        if (LinuxNative.Allocate(file.Number, 0, 0, (long)length) == 0)
            return new SpillFile(file, folder, length);
        var error = Marshal.GetLastPInvokeError();
        file.Dispose();
        throw new GuestException(GuestFailure.NoDisk, $"{length >> 20} MiB can't be set aside in {folder}: {LinuxNative.Describe(error)}; name another folder to spill to (--spill)");
    }

    /// <summary>Writes whole blocks at a multiple of <see cref="Block"/>. Several threads may.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public void Write(byte* from, ulong offset, ulong length)
    {
        for (var done = 0UL; done < length;)
        {
            var wrote = LinuxNative.WriteAt(_file.Number, from + done, (nuint)(length - done), (long)(offset + done));
            if (wrote > 0)
                done += (ulong)wrote;
            else if (wrote == 0 || Marshal.GetLastPInvokeError() is not (LinuxNative.EINTR or LinuxNative.EAGAIN))
                throw new GuestException(GuestFailure.NoDisk, $"spilling to {Folder}: {LinuxNative.Describe(wrote == 0 ? LinuxNative.ENOSPC : Marshal.GetLastPInvokeError())}");
        }
    }

    /// <summary>How many bytes a second a folder's disk takes, by trying it on a little that is removed again.</summary>
    /// <param name="folder">Which.</param>
    /// <param name="most">Bytes that may be written.</param>
    /// <exception cref="GuestException">As for <see cref="Create"/>.</exception>
    public static double Measure(string folder, ulong most)
    {
        using var file = Create(folder, Math.Min(most, Trial));
        using var buffer = MappedRegion.Anonymous(Block);
        if (buffer is null || !buffer.Populate(0, Block))
            throw new GuestException(GuestFailure.NoMemory, "the host has no memory left at all");
        // What packs well would make a disk that packs look fast.
        Random.Shared.NextBytes(new Span<byte>(buffer.Start, (int)Block));
        var started = Stopwatch.GetTimestamp();
        var written = 0UL;
        while (written < file.Length && Stopwatch.GetElapsedTime(started) < s_trial)
        {
            file.Write(buffer.Start, written, Block);
            written += Block;
        }
        _ = LinuxNative.SyncData(file.Number);
        return written / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    /// <summary>Why nothing can be spilled to a folder; null when it can.</summary>
    /// <param name="folder">Which.</param>
    /// <param name="free">Bytes that are free there.</param>
    /// <param name="fileSystem">The same number for folders of one file system.</param>
    public static string? Obstacle(string folder, out ulong free, out long fileSystem)
    {
        (free, fileSystem) = (0, 0);
        const int Longs = 32;
        var status = stackalloc long[Longs];
        using var opened = new Descriptor(LinuxNative.Open(folder, LinuxNative.O_RDONLY | LinuxNative.O_DIRECTORY | LinuxNative.O_CLOEXEC));
        if (opened.IsInvalid || LinuxNative.FileSystem(opened.Number, status) != 0)
            return $"{folder}: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}";
        // struct statfs: f_type, f_bsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_fsid.
        free = (ulong)status[1] * (ulong)status[4];
        fileSystem = status[7];
        return status[0] is FileSystemKind.Tmpfs or FileSystemKind.Ramfs or FileSystemKind.Hugetlb ? $"{folder} lies in the host's memory itself" : null;
    }

    public static ulong RoundUp(ulong length) => (length + Block - 1) / Block * Block;

    private static Descriptor Open(string folder)
    {
        var error = 0;
        // Not every file system writes past the page cache, and not every one has files without a name.
        foreach (var way in (ReadOnlySpan<int>)[LinuxNative.O_DIRECT, LinuxNative.O_DSYNC])
        {
            var flags = LinuxNative.O_RDWR | LinuxNative.O_CLOEXEC | way;
            var file = new Descriptor(LinuxNative.OpenNew(folder, flags | LinuxNative.O_TMPFILE, OwnerOnly));
            if (!file.IsInvalid)
                return file;
            var path = Path.Combine(folder, ".forengate-" + Path.GetRandomFileName());
            file = new Descriptor(LinuxNative.OpenNew(path, flags | LinuxNative.O_CREAT | LinuxNative.O_EXCL, OwnerOnly));
            error = Marshal.GetLastPInvokeError();
            // One that was made and refused then has its name still.
            if (!file.IsInvalid || error == LinuxNative.EINVAL)
                _ = LinuxNative.Unlink(path);
            if (!file.IsInvalid)
                return file;
        }
        throw new GuestException(GuestFailure.NoDisk, $"nothing can be spilled to {folder}: {LinuxNative.Describe(error)}; name another folder (--spill)");
    }

    public void Dispose() => _file.Dispose();
}
