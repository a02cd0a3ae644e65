using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Dumps;

/// <summary>Tells regular files from pipes and devices, which .NET does not.</summary>
internal static partial class UnixFileKind
{
    // statx(2): the structure is the same on every architecture; stx_mode is a 16-bit field at offset 28, S_IFMT as in inode(7).
    private const int CurrentDirectory = -100;
    private const uint WantType = 0x1;
    private const int StatxSize = 256, ModeOffset = 28;
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

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, ref byte status);
}
