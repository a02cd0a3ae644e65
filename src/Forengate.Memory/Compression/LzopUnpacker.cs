using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>lzop's container: blocks of LZO1X, mostly of 256 KiB, each on its own, with their Adler-32; by the system's liblzo2.</summary>
/// <remarks>The layout is written down in docs/formats/libvirt-save.md, learnt from lzop 1.04's files and its source. All numbers are big-endian.</remarks>
internal sealed class LzopUnpacker : UnpackingStream
{
    private const int MagicSize = 9;

    /// <summary>The first version whose header says which version is needed, a level and the high half of the time.</summary>
    private const ushort LongHeaderVersion = 0x0940;

    private const uint AdlerOfData = 0x0000_0001;
    private const uint AdlerOfPacked = 0x0000_0002;
    private const uint HasExtraField = 0x0000_0040;
    private const uint CrcOfData = 0x0000_0100;
    private const uint CrcOfPacked = 0x0000_0200;
    private const uint HasFilter = 0x0000_0800;

    /// <summary>LZO1X-1, LZO1X-1(15) and LZO1X-999 unpack alike.</summary>
    private const byte LastLzoMethod = 3;

    /// <summary>lzop's own bound on a block, in bytes.</summary>
    private const uint LargestBlock = 64 << 20;

    /// <summary>LZO1X packs at best 255 bytes into one; a block that claims more lies.</summary>
    private const uint BestRatio = 256;

    private readonly Action<LzopBlock>? _seen;
    private byte[] _block = [];
    private int _filled;
    private int _given;
    private uint _flags;
    private bool _inMember;
    private string _reason = "";

    /// <param name="file">Not owned.</param>
    /// <param name="start">Where it begins in the file.</param>
    /// <param name="seen">Told each block as it is unpacked.</param>
    public LzopUnpacker(MappedFile file, long start, Action<LzopBlock>? seen = null)
        : base(file, start)
    {
        Lzo1x.Require();
        _seen = seen;
    }

    /// <summary>How an lzop file begins.</summary>
    public static ReadOnlySpan<byte> Magic => [0x89, (byte)'L', (byte)'Z', (byte)'O', 0, 0x0D, 0x0A, 0x1A, 0x0A];

    protected override string Reason => _reason;

    protected override Step Decode(ReadOnlySpan<byte> input, bool isLast, Span<byte> output, out int consumed, out int written)
    {
        (consumed, written) = (0, 0);
        if (_given == _filled)
        {
            var step = _inMember ? NextBlock(out consumed) : ReadHeader(input, out consumed);
            if (step != Step.More || _given == _filled)
                return step;
        }
        written = Math.Min(output.Length, _filled - _given);
        _block.AsSpan(_given, written).CopyTo(output);
        _given += written;
        return Step.More;
    }

    protected override bool StartMember(ReadOnlySpan<byte> input) => input.StartsWith(Magic);

    private static uint Adler32(ReadOnlySpan<byte> bytes)
    {
        const uint Modulus = 65521;
        // So many sums of bytes fit 32 bits between two divisions.
        const int Stretch = 5552;
        var (low, high) = (1u, 0u);
        while (!bytes.IsEmpty)
        {
            var part = bytes[..Math.Min(Stretch, bytes.Length)];
            foreach (var value in part)
            {
                low += value;
                high += low;
            }
            low %= Modulus;
            high %= Modulus;
            bytes = bytes[part.Length..];
        }
        return (high << 16) | low;
    }

    /// <summary>One header: magic, versions, method, flags, times, name, checksum.</summary>
    private Step ReadHeader(ReadOnlySpan<byte> input, out int consumed)
    {
        consumed = 0;
        if (!input.StartsWith(Magic))
            return input.Length < MagicSize ? Step.More : Bad("no lzop file begins there");
        var at = MagicSize;
        if (!Take(input, ref at, 2, out var version) || !Take(input, ref at, 2, out _) || (version >= LongHeaderVersion && !Take(input, ref at, 2, out _))
            || !Take(input, ref at, 1, out var method) || (version >= LongHeaderVersion && !Take(input, ref at, 1, out _)) || !Take(input, ref at, 4, out _flags))
            return Step.More;
        if (method is 0 or > LastLzoMethod)
            return Bad($"method {method} of lzop is not known");
        if ((_flags & HasFilter) != 0)
            return Bad("it uses one of lzop's filters, which are not known");
        // Mode and time, then the name.
        if (!Take(input, ref at, 4, out _) || !Take(input, ref at, 4, out _) || (version >= LongHeaderVersion && !Take(input, ref at, 4, out _))
            || !Take(input, ref at, 1, out var name))
            return Step.More;
        at += (int)name + sizeof(uint);
        if ((_flags & HasExtraField) != 0)
        {
            if (!Take(input, ref at, 4, out var extra))
                return Step.More;
            if (extra > int.MaxValue / 2)
                return Bad("an extra field is longer than any");
            at += (int)extra + sizeof(uint);
        }
        if (at > input.Length)
            return Step.More;
        consumed = at;
        _inMember = true;
        return Step.More;
    }

    private Step NextBlock(out int consumed)
    {
        consumed = 0;
        var at = PackedPosition;
        if (!Take(ref at, out var length))
            return Step.More;
        if (length == 0)
        {
            consumed = sizeof(uint);
            _inMember = false;
            return Step.EndOfMember;
        }
        if (!Take(ref at, out var packed))
            return Step.More;
        if (length > LargestBlock || packed > length || packed == 0 || (ulong)packed * BestRatio < length)
            return Bad($"a block of {packed} bytes for {length}");
        uint adler = 0;
        var checkable = (_flags & AdlerOfData) != 0;
        if ((checkable && !Take(ref at, out adler)) || ((_flags & CrcOfData) != 0 && !Take(ref at, out _)))
            return Step.More;
        if (packed < length && (((_flags & AdlerOfPacked) != 0 && !Take(ref at, out _)) || ((_flags & CrcOfPacked) != 0 && !Take(ref at, out _))))
            return Step.More;
        var source = File.Span(at, (int)packed);
        if (source.Length < packed)
            return Step.More;
        if (_block.Length < length)
            _block = GC.AllocateUninitializedArray<byte>((int)length);
        var target = _block.AsSpan(0, (int)length);
        if (packed == length)
            source.CopyTo(target);
        else if (!Lzo1x.TryDecode(source, target, out var written) || written != length)
            return Bad("a block does not decode");
        if (checkable && Adler32(target) != adler)
            return Bad("a block's checksum does not fit");
        consumed = (int)(at + packed - PackedPosition);
        (_filled, _given) = ((int)length, 0);
        _seen?.Invoke(new LzopBlock(Position, at, (int)packed, (int)length));
        return Step.More;
    }

    private Step Bad(string reason)
    {
        _reason = reason;
        return Step.Damaged;
    }

    /// <summary>Reads a big-endian number of 1, 2 or 4 bytes; false where the input ends before.</summary>
    private static bool Take(ReadOnlySpan<byte> input, ref int at, int size, out uint value)
    {
        value = 0;
        if (at > input.Length - size)
            return false;
        value = size switch
        {
            1 => input[at],
            2 => BinaryPrimitives.ReadUInt16BigEndian(input[at..]),
            _ => BinaryPrimitives.ReadUInt32BigEndian(input[at..]),
        };
        at += size;
        return true;
    }

    private bool Take(ref long at, out uint value)
    {
        var bytes = File.Span(at, sizeof(uint));
        at += sizeof(uint);
        return BinaryPrimitives.TryReadUInt32BigEndian(bytes, out value);
    }
}
