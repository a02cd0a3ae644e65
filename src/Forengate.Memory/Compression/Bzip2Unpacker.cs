using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>bzip2 streams, one after another (as pbzip2 writes them), by the system's libbz2.</summary>
/// <remarks>bzlib.h, the low-level interface.</remarks>
internal sealed unsafe class Bzip2Unpacker : UnpackingStream
{
    private const int Ok = 0;
    private const int StreamEnd = 4;
    private const int DataErrorMagic = -5;

    private static readonly Lazy<Functions> Library = new(Load);

    private readonly DecoderHandle _state;
    private int _result;

    public Bzip2Unpacker(MappedFile file, long start)
        : base(file, start)
    {
        _ = Library.Value;
        _state = new DecoderHandle((nint)NativeMemory.AllocZeroed((nuint)sizeof(BzStream)), Free);
        Open();
    }

    protected override string Reason => _result == DataErrorMagic ? "no bzip2 stream begins there" : "a checksum or a table does not fit";

    protected override Step Decode(ReadOnlySpan<byte> input, bool isLast, Span<byte> output, out int consumed, out int written)
    {
        ObjectDisposedException.ThrowIf(_state.IsClosed, this);
        var stream = (BzStream*)_state.DangerousGetHandle();
        fixed (byte* from = input, to = output)
        {
            stream->Next = from;
            stream->Available = (uint)input.Length;
            stream->NextOut = to;
            stream->AvailableOut = (uint)output.Length;
            _result = Library.Value.Decode(stream);
            consumed = input.Length - (int)stream->Available;
            written = output.Length - (int)stream->AvailableOut;
            stream->Next = stream->NextOut = null;
            return _result switch
            {
                Ok => Step.More,
                StreamEnd => Step.EndOfMember,
                _ => Step.Damaged,
            };
        }
    }

    protected override bool StartMember(ReadOnlySpan<byte> input)
    {
        if (!input.StartsWith("BZh"u8))
            return false;
        var stream = (BzStream*)_state.DangerousGetHandle();
        _ = Library.Value.End(stream);
        *stream = default;
        Open();
        return true;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _state.Dispose();
        base.Dispose(disposing);
    }

    private void Open()
    {
        if (Library.Value.Open((BzStream*)_state.DangerousGetHandle(), 0, 0) != Ok)
            throw new InsufficientMemoryException("libbz2 got no memory for its decoder");
    }

    private static void Free(nint state)
    {
        // Refused, without harm, for one that is not open.
        _ = Library.Value.End((BzStream*)state);
        NativeMemory.Free((void*)state);
    }

    private static Functions Load()
    {
        var library = SystemLibrary.Load("libbz2.so.1.0", "libbz2-1.0", "bzip2");
        return new Functions
        {
            Open = (delegate* unmanaged<BzStream*, int, int, int>)NativeLibrary.GetExport(library, "BZ2_bzDecompressInit"),
            Decode = (delegate* unmanaged<BzStream*, int>)NativeLibrary.GetExport(library, "BZ2_bzDecompress"),
            End = (delegate* unmanaged<BzStream*, int>)NativeLibrary.GetExport(library, "BZ2_bzDecompressEnd"),
        };
    }

    /// <summary>bz_stream: 80 bytes on 64-bit systems.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 80)]
    private struct BzStream
    {
        [FieldOffset(0)]
        public byte* Next;

        [FieldOffset(8)]
        public uint Available;

        [FieldOffset(24)]
        public byte* NextOut;

        [FieldOffset(32)]
        public uint AvailableOut;
    }

    private sealed class Functions
    {
        public required delegate* unmanaged<BzStream*, int, int, int> Open { get; init; }

        public required delegate* unmanaged<BzStream*, int> Decode { get; init; }

        public required delegate* unmanaged<BzStream*, int> End { get; init; }
    }
}
