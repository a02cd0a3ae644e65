using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>What a compression library, or we for it, allocated for a stream's decoder.</summary>
internal sealed class DecoderHandle : SafeHandle
{
    private readonly Action<nint> _free;

    /// <param name="state">Address of the state.</param>
    /// <param name="free">Ends the decoder and frees it.</param>
    /// <exception cref="InsufficientMemoryException">The state is null: there was no memory for it.</exception>
    public DecoderHandle(nint state, Action<nint> free)
        : base(0, ownsHandle: true)
    {
        _free = free;
        SetHandle(state);
        if (state == 0)
            throw new InsufficientMemoryException("a compression library got no memory for its state");
    }

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        _free(handle);
        return true;
    }
}
