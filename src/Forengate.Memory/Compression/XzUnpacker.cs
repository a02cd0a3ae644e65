using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>xz streams, one after another, by the system's liblzma.</summary>
/// <remarks>lzma/base.h and lzma/container.h.</remarks>
internal sealed unsafe class XzUnpacker : UnpackingStream
{
    /// <summary>What the decoder may allocate: four times what <c>xz -9</c> asks for.</summary>
    private const ulong MemoryLimit = 256 << 20;

    private const uint Concatenated = 0x08;
    private const int ActionRun = 0;
    private const int ActionFinish = 3;
    private const int Ok = 0;
    private const int StreamEnd = 1;
    private const int MemoryError = 5;
    private const int MemoryLimitError = 6;
    private const int FormatError = 7;
    private const int OptionsError = 8;
    private const int BufferError = 10;

    private static readonly Lazy<Functions> Library = new(Load);

    private readonly DecoderHandle _state;
    private string _reason = "";

    public XzUnpacker(MappedFile file, long start)
        : base(file, start)
    {
        _ = Library.Value;
        _state = new DecoderHandle((nint)NativeMemory.AllocZeroed((nuint)sizeof(LzmaStream)), Free);
        if (Library.Value.Open((LzmaStream*)_state.DangerousGetHandle(), MemoryLimit, Concatenated) != Ok)
            throw new InsufficientMemoryException("liblzma got no memory for its decoder");
    }

    protected override string Reason => _reason;

    protected override Step Decode(ReadOnlySpan<byte> input, bool isLast, Span<byte> output, out int consumed, out int written)
    {
        ObjectDisposedException.ThrowIf(_state.IsClosed, this);
        var stream = (LzmaStream*)_state.DangerousGetHandle();
        fixed (byte* from = input, to = output)
        {
            stream->Next = from;
            stream->Available = (nuint)input.Length;
            stream->NextOut = to;
            stream->AvailableOut = (nuint)output.Length;
            var result = Library.Value.Code(stream, isLast ? ActionFinish : ActionRun);
            consumed = input.Length - (int)stream->Available;
            written = output.Length - (int)stream->AvailableOut;
            stream->Next = stream->NextOut = null;
            _reason = result switch
            {
                FormatError => "no xz stream begins there",
                MemoryLimitError => $"unpacking needs more than {MemoryLimit >> 20} MiB",
                MemoryError => "no memory for the decoder",
                OptionsError => "they use an option of xz that the library does not know",
                _ => "a checksum or a length does not fit",
            };
            return result switch
            {
                StreamEnd => Step.EndOfMember,
                Ok or BufferError => Step.More,
                _ => Step.Damaged,
            };
        }
    }

    /// <summary>The library reads concatenated streams as one.</summary>
    protected override bool StartMember(ReadOnlySpan<byte> input) => false;

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _state.Dispose();
        base.Dispose(disposing);
    }

    private static void Free(nint state)
    {
        Library.Value.End((LzmaStream*)state);
        NativeMemory.Free((void*)state);
    }

    private static Functions Load()
    {
        var library = SystemLibrary.Load("liblzma.so.5", "liblzma5", "xz");
        return new Functions
        {
            Open = (delegate* unmanaged<LzmaStream*, ulong, uint, int>)NativeLibrary.GetExport(library, "lzma_stream_decoder"),
            Code = (delegate* unmanaged<LzmaStream*, int, int>)NativeLibrary.GetExport(library, "lzma_code"),
            End = (delegate* unmanaged<LzmaStream*, void>)NativeLibrary.GetExport(library, "lzma_end"),
        };
    }

    /// <summary>lzma_stream: 136 bytes on 64-bit systems.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 136)]
    private struct LzmaStream
    {
        [FieldOffset(0)]
        public byte* Next;

        [FieldOffset(8)]
        public nuint Available;

        [FieldOffset(24)]
        public byte* NextOut;

        [FieldOffset(32)]
        public nuint AvailableOut;
    }

    private sealed class Functions
    {
        public required delegate* unmanaged<LzmaStream*, ulong, uint, int> Open { get; init; }

        public required delegate* unmanaged<LzmaStream*, int, int> Code { get; init; }

        public required delegate* unmanaged<LzmaStream*, void> End { get; init; }
    }
}
