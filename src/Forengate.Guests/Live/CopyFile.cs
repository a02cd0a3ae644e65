namespace Forengate.Guests;

/// <summary>A nameless file that is filled from its beginning while a guest stands still, and then opened like any file. It ends with the last that holds it open.</summary>
internal abstract class CopyFile : IDisposable
{
    /// <summary>Where it can be opened from within this process, once it is complete.</summary>
    public abstract string Path { get; }

    /// <summary>Bytes that it may hold.</summary>
    public abstract ulong Capacity { get; }

    /// <summary>Bytes that it holds.</summary>
    public ulong Used { get; private set; }

    /// <summary>Where the next bytes go, some at least; <see cref="Advance"/> says how many came. Empty at <see cref="Capacity"/>.</summary>
    /// <param name="most">Bytes wanted.</param>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>: the disk fails, or takes nothing for too long.</exception>
    public abstract Span<byte> Space(int most);

    public virtual void Advance(int bytes) => Used += (ulong)bytes;

    /// <summary>Nothing is added any more: all of it is written, and the file ends behind it.</summary>
    /// <param name="onTurn">Called several times a second while a disk is waited for.</param>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public abstract void Complete(Action? onTurn);

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected abstract void Dispose(bool disposing);
}
