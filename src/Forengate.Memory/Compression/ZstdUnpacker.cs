using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>Zstandard frames (RFC 8878), one after another, by the system's libzstd.</summary>
/// <remarks>zstd.h, the stable streaming interface. Frames with a window above 128 MiB are refused by the library, which bounds its memory.</remarks>
internal sealed unsafe class ZstdUnpacker : UnpackingStream
{
    /// <summary>Frames begin with 0xFD2FB528, frames to skip with 0x184D2A50 to 0x184D2A5F, little-endian.</summary>
    private const uint Magic = 0xFD2F_B528;
    private const uint SkippableMagic = 0x184D_2A50;
    private const uint SkippableMask = 0xFFFF_FFF0;

    private static readonly Lazy<Functions> Library = new(Load);

    private readonly DecoderHandle _state;
    private string _reason = "";

    public ZstdUnpacker(MappedFile file, long start)
        : base(file, start)
    {
        _state = new DecoderHandle(Library.Value.Create(), static state => _ = Library.Value.Free(state));
    }

    protected override string Reason => _reason;

    protected override Step Decode(ReadOnlySpan<byte> input, bool isLast, Span<byte> output, out int consumed, out int written)
    {
        ObjectDisposedException.ThrowIf(_state.IsClosed, this);
        fixed (byte* from = input, to = output)
        {
            var source = new Buffer { Bytes = from, Size = (nuint)input.Length };
            var target = new Buffer { Bytes = to, Size = (nuint)output.Length };
            var result = Library.Value.Decode(_state.DangerousGetHandle(), &target, &source);
            (consumed, written) = ((int)source.Position, (int)target.Position);
            if (Library.Value.IsError(result) != 0)
            {
                _reason = Marshal.PtrToStringUTF8(Library.Value.ErrorName(result)) ?? "unknown error";
                return Step.Damaged;
            }
            return result == 0 ? Step.EndOfMember : Step.More;
        }
    }

    /// <summary>The library begins a new frame by itself.</summary>
    protected override bool StartMember(ReadOnlySpan<byte> input) =>
        MemoryMarshal.TryRead(input, out uint magic) && (magic == Magic || (magic & SkippableMask) == SkippableMagic);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _state.Dispose();
        base.Dispose(disposing);
    }

    private static Functions Load()
    {
        var library = SystemLibrary.Load("libzstd.so.1", "libzstd1", "zstd");
        return new Functions
        {
            Create = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "ZSTD_createDStream"),
            Free = (delegate* unmanaged<nint, nuint>)NativeLibrary.GetExport(library, "ZSTD_freeDStream"),
            Decode = (delegate* unmanaged<nint, Buffer*, Buffer*, nuint>)NativeLibrary.GetExport(library, "ZSTD_decompressStream"),
            IsError = (delegate* unmanaged<nuint, uint>)NativeLibrary.GetExport(library, "ZSTD_isError"),
            ErrorName = (delegate* unmanaged<nuint, nint>)NativeLibrary.GetExport(library, "ZSTD_getErrorName"),
        };
    }

    /// <summary>ZSTD_inBuffer and ZSTD_outBuffer.</summary>
    private struct Buffer
    {
        public byte* Bytes;
        public nuint Size;
        public nuint Position;
    }

    private sealed class Functions
    {
        public required delegate* unmanaged<nint> Create { get; init; }

        public required delegate* unmanaged<nint, nuint> Free { get; init; }

        public required delegate* unmanaged<nint, Buffer*, Buffer*, nuint> Decode { get; init; }

        public required delegate* unmanaged<nuint, uint> IsError { get; init; }

        public required delegate* unmanaged<nuint, nint> ErrorName { get; init; }
    }
}
