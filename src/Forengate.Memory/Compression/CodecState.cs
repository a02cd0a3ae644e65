namespace Forengate.Memory;

/// <summary>What a compression library keeps between two pages of one thread; freed some time after the thread ends.</summary>
internal sealed unsafe class CodecState
{
    private readonly delegate* unmanaged<nint, void> _free;

    /// <param name="handle">What the library's create function gave.</param>
    /// <param name="free">The library's function that ends it; what it returns is of no interest.</param>
    public CodecState(nint handle, delegate* unmanaged<nint, void> free)
    {
        _free = free;
        if (handle == 0)
        {
            GC.SuppressFinalize(this);
            throw new InsufficientMemoryException("a compression library got no memory for its state");
        }
        Handle = handle;
    }

    ~CodecState() => _free(Handle);

    public nint Handle { get; }
}
