using System.Text.Json;

namespace Forengate.Guests;

/// <summary>The smallest ELF core QEMU can be asked for: all CPUs' notes and one page of memory.</summary>
internal static class CpuNoteFile
{
    /// <summary>More than the notes of 4,096 CPUs (776 bytes each) take.</summary>
    public const int MaxSize = 8 << 20;

    /// <summary>Where a page of RAM lies on every PC: one of them must do.</summary>
    public static readonly ulong[] PageCandidates = [0, 0x100000];

    public static void WriteArguments(Utf8JsonWriter writer, string fileName, ulong start)
    {
        writer.WriteBoolean("paging", false);
        writer.WriteString("protocol", "fd:" + fileName);
        writer.WriteNumber("begin", start);
        writer.WriteNumber("length", 4096);
    }

    public static unsafe byte[] ReadAll(Descriptor file)
    {
        var bytes = new byte[64 << 10];
        var length = 0;
        for (; ; )
        {
            if (length == bytes.Length)
            {
                if (bytes.Length >= MaxSize)
                    break;
                Array.Resize(ref bytes, bytes.Length * 2);
            }
            nint got;
            fixed (byte* start = bytes)
                got = LinuxNative.ReadAt(file.Number, start + length, (nuint)(bytes.Length - length), length);
            if (got <= 0)
                break;
            length += (int)got;
        }
        return bytes[..length];
    }
}
