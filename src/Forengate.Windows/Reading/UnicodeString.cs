using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// <c>UNICODE_STRING</c> of 64-bit Windows (<c>ntdef.h</c>): length in bytes, maximum length in bytes, pointer. Read as it stands: characters may be unpaired surrogates.
/// </summary>
internal readonly record struct UnicodeString(ushort Length, ushort MaximumLength, VirtualAddress Buffer)
{
    public const int Size = 16;

    private const int BufferOffset = 8;

    public static UnicodeString From(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt16LittleEndian(bytes), BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]),
        new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(bytes[BufferOffset..])));

    /// <summary>Both the descriptor's pointer and the string's end lie in the user's half: what a process may say of itself.</summary>
    public bool IsUser => !Buffer.IsKernel && !(Buffer + Length).IsKernel;

    /// <summary>Lengths agree with each other and with two-byte characters, and there is a pointer where there are characters.</summary>
    public bool IsSane => Length % 2 == 0 && Length <= MaximumLength && (Length == 0 || !Buffer.IsNull);

    /// <summary>Reads the string a descriptor at <paramref name="address"/> points to.</summary>
    public static string? Read(AddressSpace space, VirtualAddress address)
    {
        Span<byte> descriptor = stackalloc byte[Size];
        return space.TryRead(address, descriptor) ? From(descriptor).Read(space) : null;
    }

    /// <summary>The characters; null where the descriptor is not sane or the memory is missing. A string whose end is missing is cut there.</summary>
    public string? Read(AddressSpace space)
    {
        if (!IsSane)
            return null;
        if (Length == 0)
            return "";
        var bytes = new byte[Length];
        var got = space.Read(Buffer, bytes) & ~1;
        return got == 0 ? null : Text(bytes.AsSpan(0, got));
    }

    /// <summary>UTF-16 up to the first NUL.</summary>
    public static string Text(ReadOnlySpan<byte> utf16)
    {
        var characters = MemoryMarshal.Cast<byte, char>(utf16);
        var end = characters.IndexOf('\0');
        return new string(end < 0 ? characters : characters[..end]);
    }

    /// <summary>Eight-bit characters up to the first NUL; anything but printable ASCII becomes '?'.</summary>
    public static string Ascii(ReadOnlySpan<byte> text)
    {
        var end = text.IndexOf((byte)0);
        return string.Create(end < 0 ? text.Length : end, text, static (target, source) =>
        {
            for (var i = 0; i < target.Length; i++)
                target[i] = source[i] is >= 0x20 and < 0x7F ? (char)source[i] : '?';
        });
    }
}
