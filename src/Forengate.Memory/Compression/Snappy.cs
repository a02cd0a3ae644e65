using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>Snappy's raw blocks by the system's libsnappy: kdump pages, and the chunks of its framing format (AVML).</summary>
/// <remarks>C bindings in snappy-c.h; all functions return 0 for success.</remarks>
internal static unsafe class Snappy
{
    private static readonly Lazy<Functions> Library = new(Load);

    /// <summary>Loads the library now.</summary>
    /// <exception cref="ImageFormatException">It is not installed.</exception>
    public static void Require() => _ = Library.Value;

    /// <summary>What <paramref name="source"/> says it unpacks to; false where it says nothing sensible.</summary>
    public static bool TryGetLength(ReadOnlySpan<byte> source, out ulong length)
    {
        nuint result = 0;
        fixed (byte* from = source)
        {
            var good = Library.Value.Length(from, (nuint)source.Length, &result) == 0;
            length = result;
            return good;
        }
    }

    /// <summary>Unpacks one block; false when it is damaged or does not fit.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> source, Span<byte> destination, out int written)
    {
        written = 0;
        var room = (nuint)destination.Length;
        fixed (byte* from = source, to = destination)
        {
            if (Library.Value.Decode(from, (nuint)source.Length, to, &room) != 0)
                return false;
        }
        written = (int)room;
        return true;
    }

    private static Functions Load()
    {
        var library = SystemLibrary.Load("libsnappy.so.1", "libsnappy1v5", "snappy");
        return new Functions(
            (delegate* unmanaged<byte*, nuint, byte*, nuint*, int>)NativeLibrary.GetExport(library, "snappy_uncompress"),
            (delegate* unmanaged<byte*, nuint, nuint*, int>)NativeLibrary.GetExport(library, "snappy_uncompressed_length"));
    }

    private sealed class Functions(
        delegate* unmanaged<byte*, nuint, byte*, nuint*, int> decode, delegate* unmanaged<byte*, nuint, nuint*, int> length)
    {
        public readonly delegate* unmanaged<byte*, nuint, byte*, nuint*, int> Decode = decode;
        public readonly delegate* unmanaged<byte*, nuint, nuint*, int> Length = length;
    }
}
