using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A <see cref="CopyFile"/> on a disk, all of it, for a host that lacks the memory.</summary>
internal sealed class DiskCopy : CopyFile
{
    private readonly SpillFile _file;
    private readonly SpillQueue _queue;

    private DiskCopy(SpillFile file, SpillQueue queue) => (_file, _queue) = (file, queue);

    public override string Path => $"/proc/self/fd/{_file.Number}";

    public override ulong Capacity => _file.Length;

    /// <summary>Null when the host has not even the memory for what is on its way to the disk.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public static DiskCopy? Create(string folder, ulong capacity)
    {
        var file = SpillFile.Create(folder, capacity);
        if (SpillQueue.Start(file, file.Dispose) is { } queue)
            return new DiskCopy(file, queue);
        file.Dispose();
        return null;
    }

    public override Span<byte> Space(int most)
    {
        if (Used == Capacity)
            return default;
        var space = _queue.Space();
        return space[..Math.Min(space.Length, most)];
    }

    public override void Advance(int bytes)
    {
        _queue.Advance(bytes);
        base.Advance(bytes);
    }

    public override void Complete(Action? onTurn)
    {
        _queue.OnTurn = onTurn;
        _queue.Settle();
        if (LinuxNative.SetLength(_file.Number, (long)Used) != 0)
            throw new GuestException(GuestFailure.NoDisk, $"the copy in {_file.Folder} can't be cut to its length: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
    }

    protected override void Dispose(bool disposing) => _queue.Dispose();
}
