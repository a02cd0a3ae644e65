namespace Forengate.Guests;

/// <summary>What a file lies in, by the kernel's number for it (statfs(2), f_type; linux/magic.h).</summary>
internal static unsafe class FileSystemKind
{
    /// <summary>Files in memory: /dev/shm, and memfd.</summary>
    public const long Tmpfs = 0x0102_1994;
    public const long Ramfs = 0x8584_58F6;

    /// <summary>Files in memory, of huge pages.</summary>
    public const long Hugetlb = 0x9584_58F6;

    /// <summary>Null where the kernel does not say.</summary>
    public static long? Of(Descriptor file)
    {
        // struct statfs: f_type first; 120 bytes on x86-64.
        var status = stackalloc long[32];
        return LinuxNative.FileSystem(file.Number, status) == 0 ? status[0] : null;
    }
}
