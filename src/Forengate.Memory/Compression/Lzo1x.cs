using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>LZO1X blocks by the system's liblzo2: pages of a kdump, blocks of an lzop file.</summary>
/// <remarks>lzo/lzo1x.h: <c>lzo1x_decompress_safe</c> never leaves its buffers and needs no working memory; 0 is success.</remarks>
internal static unsafe class Lzo1x
{
    private const int Success = 0;

    private static readonly Lazy<nint> Library = new(Load);

    /// <summary>Loads the library now.</summary>
    /// <exception cref="ImageFormatException">It is not installed.</exception>
    public static void Require() => _ = Library.Value;

    /// <summary>Unpacks one block; false when it is damaged, does not fit, or has bytes behind its end.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> source, Span<byte> destination, out int written)
    {
        var decode = (delegate* unmanaged<byte*, nuint, byte*, nuint*, void*, int>)Library.Value;
        var length = (nuint)destination.Length;
        fixed (byte* from = source, to = destination)
        {
            var good = decode(from, (nuint)source.Length, to, &length, null) == Success;
            written = good ? (int)length : 0;
            return good;
        }
    }

    private static nint Load() => NativeLibrary.GetExport(SystemLibrary.Load("liblzo2.so.2", "liblzo2-2", "LZO"), "lzo1x_decompress_safe");
}
