using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>An open file descriptor of ours.</summary>
internal sealed class Descriptor : SafeHandle
{
    public Descriptor(int descriptor)
        : base(-1, ownsHandle: true) => SetHandle(descriptor);

    public override bool IsInvalid => handle < 0;

    public int Number => (int)handle;

    protected override bool ReleaseHandle() => LinuxNative.Close((int)handle) == 0;
}
