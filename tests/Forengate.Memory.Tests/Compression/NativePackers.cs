using System.Runtime.InteropServices;

namespace Forengate.Memory.Tests.Compression;

/// <summary>Packers of the system's libraries that the program itself has no use for.</summary>
internal static unsafe partial class NativePackers
{
    /// <summary>LZO1X_1_MEM_COMPRESS of lzo1x.h: 16,384 pointers.</summary>
    private const int LzoWorkingMemory = 16384 * 8;

    public static byte[] Lzo(ReadOnlySpan<byte> plain)
    {
        var room = new byte[plain.Length + (plain.Length / 16) + 67];
        var work = new byte[LzoWorkingMemory];
        nuint length = 0;
        fixed (byte* from = plain, to = room, memory = work)
            Assert.Equal(0, LzoCompress(from, (nuint)plain.Length, to, &length, memory));
        return room[..(int)length];
    }

    public static byte[] Snappy(ReadOnlySpan<byte> plain)
    {
        var room = new byte[32 + plain.Length + (plain.Length / 6)];
        var length = (nuint)room.Length;
        fixed (byte* from = plain, to = room)
            Assert.Equal(0, SnappyCompress(from, (nuint)plain.Length, to, &length));
        return room[..(int)length];
    }

    [LibraryImport("liblzo2.so.2", EntryPoint = "lzo1x_1_compress")]
    private static partial int LzoCompress(byte* source, nuint length, byte* destination, nuint* written, byte* work);

    [LibraryImport("libsnappy.so.1", EntryPoint = "snappy_compress")]
    private static partial int SnappyCompress(byte* source, nuint length, byte* destination, nuint* written);
}
