using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A mapping in our own address space, unmapped when released.</summary>
internal sealed unsafe class MappedRegion : SafeHandle
{
    private MappedRegion(nint address, ulong length)
        : base(-1, ownsHandle: true)
    {
        SetHandle(address);
        Length = length;
    }

    public ulong Length { get; }

    public override bool IsInvalid => handle is -1 or 0;

    public byte* Start => (byte*)handle;

    /// <summary>Anonymous memory without a single page yet. Null when the address space or the limits refuse.</summary>
    public static MappedRegion? Anonymous(ulong length)
    {
        var address = LinuxNative.Map(
            0, (nuint)length, LinuxNative.PROT_READ | LinuxNative.PROT_WRITE,
            LinuxNative.MAP_PRIVATE | LinuxNative.MAP_ANONYMOUS | LinuxNative.MAP_NORESERVE, -1, 0);
        if (address == -1)
            return null;
        // Large pages make the preparation several times shorter; a copy of guest memory has no place in a core dump of ours.
        _ = LinuxNative.Advise(address, (nuint)length, LinuxNative.MADV_HUGEPAGE);
        _ = LinuxNative.Advise(address, (nuint)length, LinuxNative.MADV_DONTDUMP);
        return new MappedRegion(address, length);
    }

    /// <summary>A file, shared and read-only. Null when it can't be mapped.</summary>
    public static MappedRegion? SharedFile(Descriptor file, ulong offset, ulong length)
    {
        var address = LinuxNative.Map(0, (nuint)length, LinuxNative.PROT_READ, LinuxNative.MAP_SHARED, file.Number, (long)offset);
        return address == -1 ? null : new MappedRegion(address, length);
    }

    /// <summary>A file, shared and writable. Null when it can't be mapped.</summary>
    public static MappedRegion? WritableFile(Descriptor file, ulong length)
    {
        var address = LinuxNative.Map(0, (nuint)length, LinuxNative.PROT_READ | LinuxNative.PROT_WRITE, LinuxNative.MAP_SHARED, file.Number, 0);
        return address == -1 ? null : new MappedRegion(address, length);
    }

    /// <summary>Puts a file, from its beginning and read-only, in the place of what lies from <paramref name="offset"/> on to the end. False when it can't be mapped.</summary>
    public bool PutFile(ulong offset, int file) => LinuxNative.Map(
        handle + (nint)offset, (nuint)(Length - offset), LinuxNative.PROT_READ, LinuxNative.MAP_SHARED | LinuxNative.MAP_FIXED, file, 0) != -1;

    /// <summary>Makes a stretch resident and writable now, so that a later copy takes no page fault. False when memory ran out.</summary>
    public bool Populate(ulong offset, ulong length)
    {
        if (LinuxNative.Advise(handle + (nint)offset, (nuint)length, LinuxNative.MADV_POPULATE_WRITE) == 0)
            return true;
        if (Marshal.GetLastPInvokeError() != LinuxNative.EINVAL)
            return false;
        // Kernels before 5.14: touch each page.
        for (var at = offset; at < offset + length; at += 4096)
            Volatile.Write(ref Start[at], 0);
        return true;
    }

    protected override bool ReleaseHandle() => LinuxNative.Unmap(handle, (nuint)Length) == 0;
}
