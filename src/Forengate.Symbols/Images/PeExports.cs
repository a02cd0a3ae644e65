using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Forengate.Symbols;

/// <summary>One export.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Rva">Where it leads; of a forwarder, where its text lies.</param>
/// <param name="IsForwarder">Whether it stands for an export of another image.</param>
public readonly record struct PeExport(string Name, uint Rva, bool IsForwarder);

/// <summary>The exports of a loaded image. Read as they are asked for, so that a missing page costs only the exports that lie in it.</summary>
/// <remarks>Layout: Microsoft's "PE Format" specification, "The .edata section".</remarks>
public sealed class PeExports
{
    /// <summary>The most names believed: ordinals are 16 bits.</summary>
    public const int MaxNames = 0x1_0000;

    /// <summary>The longest name believed, in bytes. C++ names of Windows stay below 1,000.</summary>
    public const int MaxNameLength = 1024;

    private const int DirectorySize = 40;
    private const int DllNameOffset = 12;
    private const int FunctionCountOffset = 20;
    private const int NameCountOffset = 24;
    private const int FunctionsOffset = 28;
    private const int NamesOffset = 32;
    private const int OrdinalsOffset = 36;

    private readonly PeImage _image;
    private readonly IImageBytes _bytes;
    private readonly PeDirectoryPlace _place;
    private readonly uint _functions;
    private readonly uint _functionCount;
    private readonly uint _names;
    private readonly uint _ordinals;

    private PeExports(PeImage image, IImageBytes bytes, ReadOnlySpan<byte> directory)
    {
        (_image, _bytes, _place) = (image, bytes, image.Directory(PeDirectory.Export));
        (_functions, _names, _ordinals) = (U32(directory, FunctionsOffset), U32(directory, NamesOffset), U32(directory, OrdinalsOffset));
        _functionCount = U32(directory, FunctionCountOffset);
        Count = (int)U32(directory, NameCountOffset);
        ModuleName = TextAt(U32(directory, DllNameOffset));
    }

    /// <summary>How many exports have names.</summary>
    public int Count { get; }

    /// <summary>The name the image gives itself: <c>ntoskrnl.exe</c>; null where it can't be read.</summary>
    public string? ModuleName { get; }

    /// <summary>Reads the export directory.</summary>
    public static bool TryRead(PeImage image, IImageBytes bytes, [NotNullWhen(true)] out PeExports? exports, [NotNullWhen(false)] out string? reason)
    {
        (exports, reason) = (null, null);
        var place = image.Directory(PeDirectory.Export);
        Span<byte> directory = stackalloc byte[DirectorySize];
        if (place.IsEmpty)
            reason = "it has no exports";
        else if (place.Size < DirectorySize || !image.IsInside(place.Rva, DirectorySize) || !bytes.TryRead(place.Rva, directory))
            reason = $"its export directory at 0x{place.Rva:x} is not there";
        else if (U32(directory, NameCountOffset) > MaxNames || U32(directory, FunctionCountOffset) > MaxNames)
            reason = $"it says to export {U32(directory, NameCountOffset):#,0} names and {U32(directory, FunctionCountOffset):#,0} routines";
        else if (!Fits(image, directory, FunctionsOffset, FunctionCountOffset, sizeof(uint)) || !Fits(image, directory, NamesOffset, NameCountOffset, sizeof(uint))
            || !Fits(image, directory, OrdinalsOffset, NameCountOffset, sizeof(ushort)))
            reason = "its export tables lie outside of it";
        if (reason is not null)
            return false;
        exports = new PeExports(image, bytes, directory);
        return true;
    }

    /// <summary>The export of a name; null where there is none or it can't be read. Bisects, and looks at every name where a page in between is gone.</summary>
    public PeExport? Find(ReadOnlySpan<byte> name)
    {
        Span<byte> text = stackalloc byte[MaxNameLength];
        var (low, high) = (0, Count - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (!TryName(middle, text, out var length))
                return FindOneByOne(name, text);
            var order = text[..length].SequenceCompareTo(name);
            if (order == 0)
                return At(middle);
            (low, high) = order < 0 ? (middle + 1, high) : (low, middle - 1);
        }
        return null;
    }

    /// <inheritdoc cref="Find(ReadOnlySpan{byte})"/>
    public PeExport? Find(string name) => name.Length > MaxNameLength ? null : Find(Encoding.UTF8.GetBytes(name));

    /// <summary>An export by its place in the table of names, 0 to <see cref="Count"/> − 1; null where it can't be read or makes no sense.</summary>
    public PeExport? At(int index)
    {
        Span<byte> text = stackalloc byte[MaxNameLength];
        Span<byte> four = stackalloc byte[sizeof(uint)];
        if ((uint)index >= (uint)Count || !TryName(index, text, out var length) || !_bytes.TryRead(_ordinals + ((uint)index * sizeof(ushort)), four[..sizeof(ushort)]))
            return null;
        var ordinal = BinaryPrimitives.ReadUInt16LittleEndian(four);
        if (ordinal >= _functionCount || !_bytes.TryRead(_functions + (ordinal * (uint)sizeof(uint)), four))
            return null;
        var rva = U32(four, 0);
        return rva == 0 || rva >= _image.SizeOfImage
            ? null
            : new PeExport(Encoding.ASCII.GetString(text[..length]), rva, rva >= _place.Rva && rva - _place.Rva < _place.Size);
    }

    private PeExport? FindOneByOne(ReadOnlySpan<byte> name, Span<byte> text)
    {
        for (var i = 0; i < Count; i++)
        {
            if (TryName(i, text, out var length) && text[..length].SequenceEqual(name))
                return At(i);
        }
        return null;
    }

    private bool TryName(int index, Span<byte> text, out int length)
    {
        length = 0;
        Span<byte> pointer = stackalloc byte[sizeof(uint)];
        return _bytes.TryRead(_names + ((uint)index * sizeof(uint)), pointer) && TryText(U32(pointer, 0), text, out length);
    }

    private string? TextAt(uint rva)
    {
        Span<byte> text = stackalloc byte[MaxNameLength];
        return TryText(rva, text, out var length) ? Encoding.ASCII.GetString(text[..length]) : null;
    }

    /// <summary>Reads up to the zero, piece by piece, so that a name at the end of the last page that is there can be read.</summary>
    private bool TryText(uint rva, Span<byte> text, out int length)
    {
        const uint piece = 64;
        length = 0;
        while (length < text.Length && rva != 0 && _image.IsInside(rva, (uint)length + 1))
        {
            var at = rva + (uint)length;
            // To the next multiple of the piece, hence never over the end of a page.
            var next = text.Slice(length, (int)Math.Min(Math.Min(piece - (at % piece), (uint)(text.Length - length)), _image.SizeOfImage - at));
            if (!_bytes.TryRead(at, next))
                return false;
            var end = next.IndexOf((byte)0);
            if (end >= 0)
            {
                length += end;
                return length > 0 && text[..length].IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E) < 0;
            }
            length += next.Length;
        }
        return false;
    }

    private static bool Fits(PeImage image, ReadOnlySpan<byte> directory, int tableOffset, int countOffset, uint size) =>
        image.IsInside(U32(directory, tableOffset), U32(directory, countOffset) * size);

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}
