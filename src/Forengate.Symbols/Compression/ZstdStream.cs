using System.Runtime.InteropServices;

namespace Forengate.Symbols;

/// <summary>A file packed by zstd, unpacked by the system's libzstd (its streaming API, stable since version 1.3).</summary>
internal sealed unsafe class ZstdStream : UnpackingStream
{
    private static readonly Lazy<Functions> Library = new(() => new Functions(SystemLibrary.Load("libzstd.so.1", "libzstd1")));

    private readonly Context _context = Context.Create();
    private bool _isBetweenFrames = true;

    public ZstdStream(Stream packed)
        : base(packed)
    {
    }

    public static ReadOnlySpan<byte> Magic => [0x28, 0xB5, 0x2F, 0xFD];

    protected override (int Used, int Made, bool IsWhole) Unpack(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (input.IsEmpty && _isBetweenFrames)
            return (0, 0, true);
        fixed (byte* from = input, to = output)
        {
            var (source, target) = (new Buffer { Bytes = from, Length = (nuint)input.Length }, new Buffer { Bytes = to, Length = (nuint)output.Length });
            var left = Library.Value.Decompress(_context.DangerousGetHandle(), &target, &source);
            if (Library.Value.IsError(left) != 0)
                throw new SymbolFormatException("the zstd-packed file is damaged; get it anew");
            // 0: a frame ended. Another may follow.
            _isBetweenFrames = left == 0;
            return ((int)source.Position, (int)target.Position, false);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _context.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>ZSTD_inBuffer and ZSTD_outBuffer.</summary>
    private struct Buffer
    {
        public byte* Bytes;
        public nuint Length;
        public nuint Position;
    }

    private sealed class Functions(nint library)
    {
        public readonly delegate* unmanaged<nint> Create = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "ZSTD_createDStream");
        public readonly delegate* unmanaged<nint, nuint> Free = (delegate* unmanaged<nint, nuint>)NativeLibrary.GetExport(library, "ZSTD_freeDStream");
        public readonly delegate* unmanaged<nint, Buffer*, Buffer*, nuint> Decompress =
            (delegate* unmanaged<nint, Buffer*, Buffer*, nuint>)NativeLibrary.GetExport(library, "ZSTD_decompressStream");
        public readonly delegate* unmanaged<nuint, uint> IsError = (delegate* unmanaged<nuint, uint>)NativeLibrary.GetExport(library, "ZSTD_isError");
    }

    private sealed class Context() : SafeHandle(0, ownsHandle: true)
    {
        public override bool IsInvalid => handle == 0;

        public static Context Create()
        {
            var context = new Context();
            context.SetHandle(Library.Value.Create());
            return context.IsInvalid ? throw new SymbolFormatException("libzstd has no memory for a stream") : context;
        }

        protected override bool ReleaseHandle()
        {
            Library.Value.Free(handle);
            return true;
        }
    }
}
