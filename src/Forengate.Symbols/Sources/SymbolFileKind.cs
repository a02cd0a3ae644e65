namespace Forengate.Symbols;

/// <summary>What a file of symbols is, by its first bytes.</summary>
internal static class SymbolFileKind
{
    private const int HeadLength = 32;

    /// <summary>What can be made of a file.</summary>
    public enum Kind
    {
        Unknown,
        Pdb,
        /// <summary>JSON, packed or not.</summary>
        Isf,
        Pack,
    }

    /// <summary>By its first bytes only: a JSON or packed file may turn out to be none.</summary>
    public static Kind Of(string path)
    {
        using var file = File.OpenRead(path);
        Span<byte> head = stackalloc byte[HeadLength];
        head = head[..file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)];
        if (head.StartsWith(MsfFile.Magic))
            return Kind.Pdb;
        if (head.StartsWith("FGPROFIL"u8))
            return Kind.Pack;
        return head.StartsWith(XzStream.Magic) || head.StartsWith(ZstdStream.Magic) || head.TrimStart(" \t\r\n"u8) is [(byte)'{', ..] ? Kind.Isf : Kind.Unknown;
    }

    /// <summary>The stream itself where it is plain, else what was packed in it. The stream must be able to seek.</summary>
    public static Stream Unpack(Stream stream)
    {
        Span<byte> head = stackalloc byte[HeadLength];
        head = head[..stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)];
        stream.Position = 0;
        return head.StartsWith(XzStream.Magic) ? new XzStream(stream) : head.StartsWith(ZstdStream.Magic) ? new ZstdStream(stream) : stream;
    }
}
