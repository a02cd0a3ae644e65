using System.Runtime.InteropServices;

namespace Forengate.Symbols;

/// <summary>A file packed by xz, unpacked by the system's liblzma (lzma/base.h, lzma/container.h of version 5).</summary>
internal sealed unsafe class XzStream : UnpackingStream
{
    /// <summary>What the decoder may allocate: xz -9 needs 65 MiB.</summary>
    private const ulong MemoryLimit = 256 << 20;

    /// <summary>LZMA_CONCATENATED: several streams one after the other are one file.</summary>
    private const uint Concatenated = 0x08;

    // lzma_action.
    private const int Run = 0;
    private const int Finish = 3;

    // lzma_ret.
    private const int Ok = 0;
    private const int StreamEnd = 1;
    private const int NoProgress = 10;

    private static readonly Lazy<Functions> Library = new(() => new Functions(SystemLibrary.Load("liblzma.so.5", "liblzma5")));

    private readonly Context _context = Context.Create();

    public XzStream(Stream packed)
        : base(packed)
    {
    }

    public static ReadOnlySpan<byte> Magic => [0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0];

    protected override (int Used, int Made, bool IsWhole) Unpack(ReadOnlySpan<byte> input, Span<byte> output)
    {
        var state = _context.State;
        fixed (byte* from = input, to = output)
        {
            state->NextIn = from;
            state->AvailableIn = (nuint)input.Length;
            state->NextOut = to;
            state->AvailableOut = (nuint)output.Length;
            var result = Library.Value.Code(state, input.IsEmpty ? Finish : Run);
            if (result is not (Ok or StreamEnd or NoProgress))
                throw new SymbolFormatException($"the xz-packed file is damaged (liblzma says {result}); get it anew");
            return (input.Length - (int)state->AvailableIn, output.Length - (int)state->AvailableOut, result == StreamEnd);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _context.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>lzma_stream of 64-bit systems: 136 bytes, all zero at first.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 136)]
    private struct StreamState
    {
        public byte* NextIn;
        public nuint AvailableIn;
        public ulong TotalIn;
        public byte* NextOut;
        public nuint AvailableOut;
        public ulong TotalOut;
    }

    private sealed class Functions(nint library)
    {
        public readonly delegate* unmanaged<StreamState*, ulong, uint, int> Decoder =
            (delegate* unmanaged<StreamState*, ulong, uint, int>)NativeLibrary.GetExport(library, "lzma_stream_decoder");
        public readonly delegate* unmanaged<StreamState*, int, int> Code = (delegate* unmanaged<StreamState*, int, int>)NativeLibrary.GetExport(library, "lzma_code");
        public readonly delegate* unmanaged<StreamState*, void> End = (delegate* unmanaged<StreamState*, void>)NativeLibrary.GetExport(library, "lzma_end");
    }

    private sealed class Context() : SafeHandle(0, ownsHandle: true)
    {
        public override bool IsInvalid => handle == 0;

        public StreamState* State => (StreamState*)handle;

        public static Context Create()
        {
            var context = new Context();
            context.SetHandle((nint)NativeMemory.AllocZeroed((nuint)sizeof(StreamState)));
            if (Library.Value.Decoder(context.State, MemoryLimit, Concatenated) != Ok)
                throw new SymbolFormatException("liblzma cannot begin to unpack");
            return context;
        }

        protected override bool ReleaseHandle()
        {
            Library.Value.End(State);
            NativeMemory.Free((void*)handle);
            return true;
        }
    }
}
