using System.Globalization;

namespace Forengate.Memory;

/// <summary>Where a raw image's bytes lie in guest-physical memory: a raw image says nothing about itself.</summary>
/// <remarks>Nothing is checked against a file here: parts that lie behind the file's end are missing pages.</remarks>
public sealed class RawLayout
{
    private const ulong FourGiB = 1UL << 32;

    private readonly RawPart[] _parts;

    private RawLayout(RawPart[] parts) => _parts = parts;

    /// <summary>The parts, in ascending guest-physical order; none overlaps another.</summary>
    public IReadOnlyList<RawPart> Parts => _parts;

    /// <summary>File offset = guest-physical address.</summary>
    public static RawLayout Flat(long fileLength) => new([new RawPart(new PhysicalRange(default, (ulong)fileLength & ~Page.OffsetMask), 0)]);

    /// <summary>
    /// RAM without its hole, as QEMU keeps it in one RAM block: <paramref name="lowSize"/> bytes at 0, the rest from 4 GiB on.
    /// </summary>
    /// <param name="fileLength">Size of the file in bytes.</param>
    /// <param name="lowSize">RAM below 4 GiB in bytes, a multiple of 4096 (q35: 2 GiB where RAM is 2.75 GiB or more; pc: 3 GiB where it is 3.5 GiB or more).</param>
    /// <exception cref="FormatException"><paramref name="lowSize"/> is no size that memory below 4 GiB can have.</exception>
    public static RawLayout WithHole(long fileLength, ulong lowSize)
    {
        if (lowSize == 0 || lowSize > FourGiB || (lowSize & Page.OffsetMask) != 0)
            throw new FormatException($"RAM below 4 GiB cannot be 0x{lowSize:x} bytes: say a multiple of 4096, at most 4 GiB");
        var length = (ulong)fileLength & ~Page.OffsetMask;
        return length <= lowSize
            ? Flat(fileLength)
            : new([new RawPart(new PhysicalRange(default, lowSize), 0), new RawPart(new PhysicalRange(new PhysicalAddress(FourGiB), length - lowSize), lowSize)]);
    }

    /// <summary>
    /// Reads a list such as <c>0-0xc0000000=0,0x100000000-0x140000000=0xc0000000</c>: START-END=FILEOFFSET, comma between; the end is the first address behind; START+SIZE is
    /// taken too; without =FILEOFFSET a part follows the one before in the file. Numbers are decimal or 0x…, with K, M, G behind if wanted.
    /// </summary>
    /// <exception cref="FormatException">One line: which part is wrong and why.</exception>
    public static RawLayout Parse(string text)
    {
        var parts = new List<RawPart>();
        var next = 0UL;
        foreach (var item in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var part = ParsePart(item, next);
            next = part.FileOffset + part.Range.Length;
            parts.Add(part);
        }
        if (parts.Count == 0)
            throw new FormatException("no memory range is given; say START-END=FILEOFFSET");
        parts.Sort((left, right) => left.Range.Start.CompareTo(right.Range.Start));
        for (var i = 1; i < parts.Count; i++)
        {
            if (parts[i].Range.Start < parts[i - 1].Range.End)
                throw new FormatException($"memory ranges {parts[i - 1].Range} and {parts[i].Range} overlap");
        }
        return new RawLayout([.. parts]);
    }

    /// <summary>Reads a size such as <c>3G</c>, <c>0xc0000000</c> or <c>3072M</c>, in bytes.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static ulong ParseSize(string text) =>
        TryParseNumber(text, out var size) ? size : throw new FormatException($"'{text}' is no size; say a number of bytes, decimal or 0x…, with K, M, G or T behind if wanted");

    public override string ToString() => string.Join(',', _parts.Select(part => $"{part.Range}=0x{part.FileOffset:x}"));

    private static RawPart ParsePart(string item, ulong next)
    {
        var equals = item.IndexOf('=', StringComparison.Ordinal);
        var range = equals < 0 ? item : item[..equals];
        var separator = range.IndexOfAny(['-', '+']);
        if (separator < 0
            || !TryParseNumber(range.AsSpan(0, separator), out var start)
            || !TryParseNumber(range.AsSpan(separator + 1), out var second))
        {
            throw new FormatException($"'{item}' is no memory range; say START-END=FILEOFFSET, as in 0-0xc0000000=0");
        }
        var offset = next;
        if (equals >= 0 && !TryParseNumber(item.AsSpan(equals + 1), out offset))
            throw new FormatException($"'{item[(equals + 1)..]}' is no file offset; say START-END=FILEOFFSET, as in 0-0xc0000000=0");
        var isSize = range[separator] == '+';
        var end = isSize ? unchecked(start + second) : second;
        if (end <= start)
            throw new FormatException($"memory range '{range}' is empty or ends before it starts");
        if (((start | end) & Page.OffsetMask) != 0)
            throw new FormatException($"memory range '{range}' does not start and end on page boundaries (multiples of 0x1000)");
        if (offset > long.MaxValue || end > 1UL << PhysicalAddress.Bits)
            throw new FormatException($"'{item}' lies beyond what a machine or file can hold");
        return new RawPart(new PhysicalRange(new PhysicalAddress(start), end - start), offset);
    }

    private static bool TryParseNumber(ReadOnlySpan<char> text, out ulong value)
    {
        text = text.Trim();
        var shift = 0;
        if (text.Length > 1)
        {
            shift = char.ToUpperInvariant(text[^1]) switch { 'K' => 10, 'M' => 20, 'G' => 30, 'T' => 40, _ => 0 };
            if (shift != 0)
                text = text[..^1].TrimEnd();
        }
        var ok = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            ? ulong.TryParse(text[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value)
            : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
        if (!ok || value > ulong.MaxValue >> shift)
            return false;
        value <<= shift;
        return true;
    }
}
