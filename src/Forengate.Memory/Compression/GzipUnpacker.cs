using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>gzip members (RFC 1952), one after another, by the system's libz.</summary>
/// <remarks>
/// zlib.h. .NET's own <c>GZipStream</c> takes a file that was cut off for one that ended (unless the process-wide switch System.IO.Compression.UseStrictValidation is set), which
/// would turn half a memory image into a whole one.
/// </remarks>
internal sealed unsafe class GzipUnpacker : UnpackingStream
{
    private const int Ok = 0;
    private const int StreamEnd = 1;
    private const int BufferError = -5;

    /// <summary>The largest window (15 bits), and 16 for "gzip only".</summary>
    private const int WindowBits = 15 + 16;

    private static readonly Lazy<Functions> Library = new(Load);

    private readonly DecoderHandle _state;
    private string? _reason;

    public GzipUnpacker(MappedFile file, long start)
        : base(file, start)
    {
        _ = Library.Value;
        _state = new DecoderHandle((nint)NativeMemory.AllocZeroed((nuint)sizeof(ZStream)), Free);
        fixed (byte* version = "1\0"u8)
        {
            if (Library.Value.Open((ZStream*)_state.DangerousGetHandle(), WindowBits, version, sizeof(ZStream)) != Ok)
                throw new InsufficientMemoryException("libz got no memory for its decoder");
        }
    }

    protected override string Reason => _reason ?? "they do not decode";

    protected override Step Decode(ReadOnlySpan<byte> input, bool isLast, Span<byte> output, out int consumed, out int written)
    {
        ObjectDisposedException.ThrowIf(_state.IsClosed, this);
        var stream = (ZStream*)_state.DangerousGetHandle();
        fixed (byte* from = input, to = output)
        {
            stream->Next = from;
            stream->Available = (uint)input.Length;
            stream->NextOut = to;
            stream->AvailableOut = (uint)output.Length;
            var result = Library.Value.Decode(stream, 0);
            consumed = input.Length - (int)stream->Available;
            written = output.Length - (int)stream->AvailableOut;
            stream->Next = stream->NextOut = null;
            _reason = Marshal.PtrToStringUTF8(stream->Message);
            return result switch
            {
                Ok or BufferError => Step.More,
                StreamEnd => Step.EndOfMember,
                _ => Step.Damaged,
            };
        }
    }

    protected override bool StartMember(ReadOnlySpan<byte> input)
    {
        if (!input.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]))
            return false;
        _ = Library.Value.Reset((ZStream*)_state.DangerousGetHandle());
        return true;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _state.Dispose();
        base.Dispose(disposing);
    }

    private static void Free(nint state)
    {
        _ = Library.Value.End((ZStream*)state);
        NativeMemory.Free((void*)state);
    }

    private static Functions Load()
    {
        var library = SystemLibrary.Load("libz.so.1", "zlib1g", "gzip");
        return new Functions
        {
            Open = (delegate* unmanaged<ZStream*, int, byte*, int, int>)NativeLibrary.GetExport(library, "inflateInit2_"),
            Decode = (delegate* unmanaged<ZStream*, int, int>)NativeLibrary.GetExport(library, "inflate"),
            Reset = (delegate* unmanaged<ZStream*, int>)NativeLibrary.GetExport(library, "inflateReset"),
            End = (delegate* unmanaged<ZStream*, int>)NativeLibrary.GetExport(library, "inflateEnd"),
        };
    }

    /// <summary>z_stream: 112 bytes on 64-bit systems.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 112)]
    private struct ZStream
    {
        [FieldOffset(0)]
        public byte* Next;

        [FieldOffset(8)]
        public uint Available;

        [FieldOffset(24)]
        public byte* NextOut;

        [FieldOffset(32)]
        public uint AvailableOut;

        [FieldOffset(48)]
        public nint Message;
    }

    private sealed class Functions
    {
        public required delegate* unmanaged<ZStream*, int, byte*, int, int> Open { get; init; }

        public required delegate* unmanaged<ZStream*, int, int> Decode { get; init; }

        public required delegate* unmanaged<ZStream*, int> Reset { get; init; }

        public required delegate* unmanaged<ZStream*, int> End { get; init; }
    }
}
