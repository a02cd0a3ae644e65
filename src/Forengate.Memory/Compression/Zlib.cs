using System.IO.Compression;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>Single zlib streams (RFC 1950), as kdump packs its pages.</summary>
/// <remarks>
/// By libdeflate where it is installed, a library for whole buffers (libdeflate.h), else by .NET's own zlib: nothing is ever missing. For pages of 4096 bytes on one core libdeflate takes 4 to 7 µs to unpack,
/// .NET 5.5 to 9 and 300 bytes of garbage, the system's libz with a state kept between pages 8 to 12: that one is not used. To pack, libdeflate takes 17 to 21 µs, .NET's fastest 10 to 15 for
/// pages a fifth larger.
/// </remarks>
internal static unsafe class Zlib
{
    private const int Success = 0;

    /// <summary>libdeflate's fastest: higher levels take half as long again for 3 to 4 % less.</summary>
    private const int Level = 1;

    private static readonly Functions? Library = Load();

    [ThreadStatic]
    private static CodecState? s_unpacking;

    [ThreadStatic]
    private static CodecState? s_packing;

    /// <summary>Unpacks one stream; false when it is damaged or does not fit.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> source, Span<byte> destination, out int written)
    {
        if (Library is not { } library)
            return TryDecodeByRuntime(source, destination, out written);
        var state = s_unpacking ??= new CodecState(library.AllocateUnpacking(), library.FreeUnpacking);
        nuint length;
        fixed (byte* from = source, to = destination)
        {
            var good = library.Unpack(state.Handle, from, (nuint)source.Length, to, (nuint)destination.Length, &length) == Success;
            written = good ? (int)length : 0;
            GC.KeepAlive(state);
            return good;
        }
    }

    /// <summary>Packs bytes into one stream; 0 when it does not fit.</summary>
    public static int Encode(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        if (Library is not { } library)
            return EncodeByRuntime(source, destination);
        var state = s_packing ??= new CodecState(library.AllocatePacking(Level), library.FreePacking);
        fixed (byte* from = source, to = destination)
        {
            var length = (int)library.Pack(state.Handle, from, (nuint)source.Length, to, (nuint)destination.Length);
            GC.KeepAlive(state);
            return length;
        }
    }

    /// <summary>As <see cref="TryDecode"/>, by .NET's zlib.</summary>
    internal static bool TryDecodeByRuntime(ReadOnlySpan<byte> source, Span<byte> destination, out int written)
    {
        written = 0;
        if (source.IsEmpty)
            return false;
        fixed (byte* from = source)
        {
            using var packed = new UnmanagedMemoryStream(from, source.Length);
            using var stream = new ZLibStream(packed, CompressionMode.Decompress);
            try
            {
                written = stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
                // The checksum lies behind the last byte; a stream that has more than fits is not what was asked for.
                Span<byte> rest = stackalloc byte[1];
                if (stream.Read(rest) == 0)
                    return true;
            }
            catch (InvalidDataException)
            {
            }
            written = 0;
            return false;
        }
    }

    /// <summary>As <see cref="Encode"/>, by .NET's zlib.</summary>
    internal static int EncodeByRuntime(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        fixed (byte* to = destination)
        {
            using var packed = new UnmanagedMemoryStream(to, 0, destination.Length, FileAccess.Write);
            try
            {
                using (var stream = new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true))
                    stream.Write(source);
                return (int)packed.Position;
            }
            catch (NotSupportedException)
            {
                // What an unmanaged stream says when it is full.
                return 0;
            }
        }
    }

    private static Functions? Load() => NativeLibrary.TryLoad("libdeflate.so.0", out var library) ? new Functions(library) : null;

    private sealed class Functions(nint library)
    {
        public readonly delegate* unmanaged<nint> AllocateUnpacking = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "libdeflate_alloc_decompressor");
        public readonly delegate* unmanaged<nint, void> FreeUnpacking = (delegate* unmanaged<nint, void>)NativeLibrary.GetExport(library, "libdeflate_free_decompressor");
        public readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint*, int> Unpack =
            (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint*, int>)NativeLibrary.GetExport(library, "libdeflate_zlib_decompress");
        public readonly delegate* unmanaged<int, nint> AllocatePacking = (delegate* unmanaged<int, nint>)NativeLibrary.GetExport(library, "libdeflate_alloc_compressor");
        public readonly delegate* unmanaged<nint, void> FreePacking = (delegate* unmanaged<nint, void>)NativeLibrary.GetExport(library, "libdeflate_free_compressor");
        public readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint> Pack =
            (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint>)NativeLibrary.GetExport(library, "libdeflate_zlib_compress");
    }
}
