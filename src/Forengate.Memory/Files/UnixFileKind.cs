using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>Tells regular files from pipes and devices, and two names of one file from two files, which .NET does not.</summary>
public static partial class UnixFileKind
{
    // statx(2): the structure is the same on every architecture; stx_mode is a 16-bit field at offset 28, S_IFMT as in inode(7).
    private const int CurrentDirectory = -100;
    private const uint WantType = 0x1, WantInode = 0x100;
    private const int StatxSize = 256, ModeOffset = 28, InodeOffset = 32, DeviceOffset = 136, DeviceSize = 8;
    private const ushort TypeMask = 0xF000, Fifo = 0x1000, CharacterDevice = 0x2000, Socket = 0xC000;

    /// <summary>True for what exists and has no positions to write at: pipes, character devices, sockets; symbolic links are followed.</summary>
    public static bool IsStream(string path)
    {
        Span<byte> status = stackalloc byte[StatxSize];
        status.Clear();
        if (Statx(CurrentDirectory, path, 0, WantType, ref MemoryMarshal.GetReference(status)) != 0)
            return false;
        return (BinaryPrimitives.ReadUInt16LittleEndian(status[ModeOffset..]) & TypeMask) is Fifo or CharacterDevice or Socket;
    }

    /// <summary>True when both paths exist and lead to one file, by whatever links; false where either does not exist.</summary>
    public static bool AreSame(string left, string right)
    {
        Span<byte> one = stackalloc byte[StatxSize];
        Span<byte> other = stackalloc byte[StatxSize];
        one.Clear();
        other.Clear();
        return Statx(CurrentDirectory, left, 0, WantInode, ref MemoryMarshal.GetReference(one)) == 0
            && Statx(CurrentDirectory, right, 0, WantInode, ref MemoryMarshal.GetReference(other)) == 0
            && one.Slice(InodeOffset, sizeof(ulong)).SequenceEqual(other.Slice(InodeOffset, sizeof(ulong)))
            && one.Slice(DeviceOffset, DeviceSize).SequenceEqual(other.Slice(DeviceOffset, DeviceSize));
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, ref byte status);
}
