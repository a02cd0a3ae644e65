using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>One mmap'd region, unmapped when released.</summary>
internal sealed class MappingHandle : SafeHandle
{
    private const nint MapFailed = -1;
    private readonly nuint _length;

    public MappingHandle(nint address, nuint length)
        : base(MapFailed, ownsHandle: true)
    {
        _length = length;
        SetHandle(address);
    }

    public override bool IsInvalid => handle == MapFailed;

    protected override bool ReleaseHandle() => Libc.Unmap(handle, _length) == 0;
}
