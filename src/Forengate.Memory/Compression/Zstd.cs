using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>Single zstd frames (RFC 8878) of a page or a chunk, by the system's libzstd.</summary>
/// <remarks>zstd.h. What goes wrong is a length near the top of its type: ZSTD_isError.</remarks>
internal static unsafe class Zstd
{
    // ZSTD_cParameter: level, and a checksum behind each frame, without which damage passes for data.
    private const int LevelParameter = 100;
    private const int ChecksumParameter = 201;
    private const int Level = 1;

    private static readonly Lazy<Functions> Library = new(Load);

    [ThreadStatic]
    private static CodecState? s_unpacking;

    [ThreadStatic]
    private static CodecState? s_packing;

    /// <summary>Loads the library now.</summary>
    /// <exception cref="ImageFormatException">It is not installed.</exception>
    public static void Require() => _ = Library.Value;

    /// <summary>Unpacks one frame, or several that follow each other; false when they are damaged or do not fit.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> source, Span<byte> destination, out int written)
    {
        var library = Library.Value;
        written = 0;
        // No frame at all is no error to the library.
        if (source.IsEmpty)
            return false;
        var state = s_unpacking ??= new CodecState(library.CreateUnpacking(), library.FreeUnpacking);
        fixed (byte* from = source, to = destination)
        {
            var length = library.Unpack(state.Handle, to, (nuint)destination.Length, from, (nuint)source.Length);
            GC.KeepAlive(state);
            var good = library.IsError(length) == 0;
            written = good ? (int)length : 0;
            return good;
        }
    }

    /// <summary>Packs bytes into one frame; 0 when it does not fit.</summary>
    public static int Encode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        var library = Library.Value;
        var state = s_packing ??= CreatePacking(library);
        fixed (byte* from = source, to = destination)
        {
            var length = library.Pack(state.Handle, to, (nuint)destination.Length, from, (nuint)source.Length);
            GC.KeepAlive(state);
            return library.IsError(length) == 0 ? (int)length : 0;
        }
    }

    private static CodecState CreatePacking(Functions library)
    {
        var state = new CodecState(library.CreatePacking(), library.FreePacking);
        // Neither can fail: both values are allowed by every version.
        library.Set(state.Handle, LevelParameter, Level);
        library.Set(state.Handle, ChecksumParameter, 1);
        return state;
    }

    private static Functions Load() => new(SystemLibrary.Load("libzstd.so.1", "libzstd1", "zstd"));

    private sealed class Functions(nint library)
    {
        public readonly delegate* unmanaged<nint> CreateUnpacking = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "ZSTD_createDCtx");
        public readonly delegate* unmanaged<nint, void> FreeUnpacking = (delegate* unmanaged<nint, void>)NativeLibrary.GetExport(library, "ZSTD_freeDCtx");
        public readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint> Unpack =
            (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint>)NativeLibrary.GetExport(library, "ZSTD_decompressDCtx");
        public readonly delegate* unmanaged<nint> CreatePacking = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "ZSTD_createCCtx");
        public readonly delegate* unmanaged<nint, void> FreePacking = (delegate* unmanaged<nint, void>)NativeLibrary.GetExport(library, "ZSTD_freeCCtx");
        public readonly delegate* unmanaged<nint, int, int, nuint> Set = (delegate* unmanaged<nint, int, int, nuint>)NativeLibrary.GetExport(library, "ZSTD_CCtx_setParameter");
        public readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint> Pack =
            (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint>)NativeLibrary.GetExport(library, "ZSTD_compress2");
        public readonly delegate* unmanaged<nuint, uint> IsError = (delegate* unmanaged<nuint, uint>)NativeLibrary.GetExport(library, "ZSTD_isError");
    }
}
