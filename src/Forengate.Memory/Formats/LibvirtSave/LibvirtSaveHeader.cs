using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>What a libvirt save file begins with (libvirt, src/qemu/qemu_saveimage.h). Numbers are in the byte order of the host that wrote them.</summary>
/// <param name="IsComplete">libvirt finished the file; false while it is written, and for ever when that failed.</param>
/// <param name="Version">1 or 2; only 2 can be packed.</param>
/// <param name="DataLength">Bytes of XML, cookie and padding behind the header; QEMU's stream follows them.</param>
/// <param name="WasRunning">The guest ran when it was saved; else it was paused.</param>
/// <param name="Format">Index into <see cref="FormatNames"/>.</param>
/// <param name="CookieOffset">Where the cookie begins, in bytes behind the header; 0: there is none.</param>
internal readonly record struct LibvirtSaveHeader(bool IsComplete, uint Version, uint DataLength, bool WasRunning, uint Format, uint CookieOffset)
{
    public const int Size = 92;
    public const uint LastVersion = 2;

    private const int MagicSize = 16;
    private const int VersionAt = 16;
    private const int DataLengthAt = 20;
    private const int WasRunningAt = 24;
    private const int FormatAt = 28;
    private const int CookieOffsetAt = 32;

    private static readonly string[] Names = ["raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"];

    /// <summary>What qemu.conf calls save_image_format, in the order of their numbers.</summary>
    public static IReadOnlyList<string> FormatNames => Names;

    /// <summary>The name of <see cref="Format"/>; null for a number that libvirt did not have by version 11.</summary>
    public string? FormatName => Format < (uint)Names.Length ? Names[Format] : null;

    /// <summary>Where QEMU's stream begins in the file.</summary>
    public long StreamOffset => Size + (long)DataLength;

    private static ReadOnlySpan<byte> Complete => "LibvirtQemudSave"u8;

    private static ReadOnlySpan<byte> Partial => "LibvirtQemudPart"u8;

    public static bool IsMagic(ReadOnlySpan<byte> head) => head.StartsWith(Complete) || head.StartsWith(Partial);

    /// <returns>What is wrong, as the rest of a sentence that begins with the file; null when it was read.</returns>
    public static string? Parse(ReadOnlySpan<byte> head, out LibvirtSaveHeader header)
    {
        header = default;
        if (head.Length < Size)
            return $"is cut off within the header of a libvirt save file: it has {head.Length} bytes";
        // libvirt tells the byte order as we do: a version that is too high is one that was written the other way round.
        var swapped = Word(head, VersionAt, false) > LastVersion;
        header = new LibvirtSaveHeader(
            head.StartsWith(Complete), Word(head, VersionAt, swapped), Word(head, DataLengthAt, swapped), Word(head, WasRunningAt, swapped) != 0, Word(head, FormatAt, swapped),
            Word(head, CookieOffsetAt, swapped));
        if (header.Version > LastVersion)
            return $"is a libvirt save file of version {Word(head, VersionAt, false)}; versions up to {LastVersion} are known";
        if (header.DataLength == 0)
            return "is a libvirt save file without a domain description: its header is damaged";
        if (header.Version < LastVersion)
            header = header with { Format = 0 };
        return null;
    }

    private static uint Word(ReadOnlySpan<byte> head, int at, bool bigEndian) => bigEndian
        ? BinaryPrimitives.ReadUInt32BigEndian(head[at..])
        : BinaryPrimitives.ReadUInt32LittleEndian(head[at..]);
}
