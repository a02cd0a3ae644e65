using System.Buffers;

namespace Forengate.Memory;

/// <summary>Names files that are something else, so that a refusal can say what and what to do.</summary>
internal static class ForeignFile
{
    private static readonly SearchValues<byte> TextBytes = SearchValues.Create(MakeTextBytes());

    /// <summary>What the file is, as the end of a sentence; null when nothing is known.</summary>
    public static string? Describe(ReadOnlySpan<byte> head)
    {
        if (head.StartsWith("\u007fELF"u8))
            return "it is an ELF program or library, no core";
        if (head.StartsWith((ReadOnlySpan<byte>)[(byte)'Q', (byte)'F', (byte)'I', 0xFB]))
            return "it is a qcow2 disk image, not memory";
        if (head.StartsWith("KDMV"u8) || head.StartsWith("vhdxfile"u8) || head.StartsWith("conectix"u8))
            return "it is a virtual disk, not memory";
        if (HibernationFile.Describe(head) is { } hibernation)
            return hibernation;
        if (head.StartsWith("MZ"u8) && IsPortableExecutable(head))
            return "it is a Windows program, no memory image";
        if (head.StartsWith("MDMP"u8))
            return "it is a user-mode minidump of one process, not of a machine";
        if (head.StartsWith("PK\u0003\u0004"u8))
            return Packed("zip");
        if (head.StartsWith((ReadOnlySpan<byte>)[(byte)'7', (byte)'z', 0xBC, 0xAF]))
            return Packed("7z");
        return PackingMagic.Of(head) is var packing and not Packing.None ? Packed($"{PackingMagic.NameOf(packing)} twice") : null;

        static string Packed(string by) => $"it is packed by {by}; unpack it first";
    }

    /// <summary>True for a beginning without any control byte but tab, line ends and form feed: memory does not look like that.</summary>
    public static bool IsText(ReadOnlySpan<byte> head) => head.Length != 0 && !head.ContainsAnyExcept(TextBytes);

    private static bool IsPortableExecutable(ReadOnlySpan<byte> head)
    {
        const int NewHeaderField = 0x3C;
        if (head.Length < NewHeaderField + sizeof(uint))
            return false;
        var at = System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(head[NewHeaderField..]);
        return at <= (uint)head.Length - 4 && head[(int)at..].StartsWith("PE\0\0"u8);
    }

    private static byte[] MakeTextBytes()
    {
        var bytes = new List<byte> { (byte)'\t', (byte)'\n', (byte)'\r', (byte)'\f' };
        for (var value = 0x20; value < 0x100; value++)
        {
            if (value != 0x7F)
                bytes.Add((byte)value);
        }
        return [.. bytes];
    }
}
