namespace Forengate.Engine;

/// <summary>The disk space that dumps may take: what is free, less the reserve, less what dumps under way have been promised.</summary>
/// <remarks>Safe for several threads. While a dump is being written its bytes count twice, as promised and as taken: that errs on the safe side.</remarks>
/// <param name="free">Free bytes now.</param>
/// <param name="reserve">Bytes that must stay free.</param>
internal sealed class DumpRoom(Func<ulong> free, ulong reserve)
{
    private readonly Lock _lock = new();
    private ulong _promised;

    /// <summary>How much could be promised now.</summary>
    public ulong Left
    {
        get
        {
            lock (_lock)
                return LeftNow();
        }
    }

    /// <summary>Promises room; null where there is not so much. Dispose it when the file is whole or given up.</summary>
    public IDisposable? TryTake(ulong bytes)
    {
        lock (_lock)
        {
            if (LeftNow() < bytes)
                return null;
            _promised += bytes;
            return new Promise(this, bytes);
        }
    }

    private ulong LeftNow()
    {
        var space = free();
        return space > reserve && space - reserve > _promised ? space - reserve - _promised : 0;
    }

    private sealed class Promise(DumpRoom room, ulong bytes) : IDisposable
    {
        private ulong _bytes = bytes;

        public void Dispose()
        {
            lock (room._lock)
            {
                room._promised -= _bytes;
                _bytes = 0;
            }
        }
    }
}
