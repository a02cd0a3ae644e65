using System.Buffers.Binary;

namespace Forengate.Symbols;

/// <summary>
/// The container of a PDB, "MSF 7.00": numbered streams whose blocks lie scattered over the file (docs/formats/pdb.md). Opening reads the directory only; a stream is
/// copied together when it is asked for, neighbouring blocks in one piece. The free block maps say nothing to a reader.
/// </summary>
internal sealed class MsfFile : IDisposable
{
    // The superblock.
    private const int BlockSizeOffset = 32;
    /// <summary>u32: blocks of the file.</summary>
    private const int BlockCountOffset = 40;
    /// <summary>u32: bytes of the directory.</summary>
    private const int DirectoryLengthOffset = 44;
    /// <summary>u32 each: the blocks that list the directory's blocks. One, unless the directory is larger than a block can list.</summary>
    private const int DirectoryMapOffset = 52;
    private const int SuperblockLength = 512;
    private const int SmallestBlock = 512;
    private const int LargestBlock = 1 << 16;

    /// <summary>The length of a stream that is none.</summary>
    private const uint NoStream = 0xFFFFFFFF;

    private readonly PdbBytes _bytes;
    private readonly int _blockSize;
    private readonly uint[] _directory;
    private readonly int[] _lengths;
    private readonly int[] _firstBlocks;

    private MsfFile(PdbBytes bytes, int blockSize, uint[] directory, int[] lengths, int[] firstBlocks) =>
        (_bytes, _blockSize, _directory, _lengths, _firstBlocks) = (bytes, blockSize, directory, lengths, firstBlocks);

    /// <summary>What every PDB since 2000 begins with.</summary>
    public static ReadOnlySpan<byte> Magic => "Microsoft C/C++ MSF 7.00\r\n\u001aDS\0\0\0"u8;

    public int StreamCount => _lengths.Length;

    public static MsfFile Open(PdbBytes bytes, string name, SymbolLimits limits)
    {
        Span<byte> head = stackalloc byte[SuperblockLength];
        if (!bytes.TryRead(0, head) || !head.StartsWith(Magic))
            throw new SymbolFormatException(Explain(name, head));
        var blockSize = (int)Math.Min(U32(head, BlockSizeOffset), int.MaxValue);
        if (blockSize is < SmallestBlock or > LargestBlock || !int.IsPow2(blockSize))
            throw new SymbolFormatException($"{name} is damaged: its superblock says blocks of {U32(head, BlockSizeOffset)} bytes");
        var directoryLength = U32(head, DirectoryLengthOffset);
        if (directoryLength < sizeof(uint) || directoryLength > bytes.Length || directoryLength > limits.MaxStreamLength)
            throw new SymbolFormatException($"{name} is truncated or damaged: its directory of {directoryLength} bytes does not fit into {bytes.Length} bytes of file");

        // Three steps: blocks of the list, the list of the directory's blocks, the directory.
        var listLength = BlocksOf(directoryLength, blockSize) * sizeof(uint);
        var listBlocks = BlocksOf((uint)listLength, blockSize);
        if (DirectoryMapOffset + (listBlocks * sizeof(uint)) > SuperblockLength)
            throw new SymbolFormatException($"{name} is damaged: a directory of {directoryLength} bytes needs more blocks than its superblock can list");
        var list = new byte[listLength];
        var directory = new byte[directoryLength];
        if (!TryGather(bytes, blockSize, Words(head.Slice(DirectoryMapOffset, listBlocks * sizeof(uint))), list) || !TryGather(bytes, blockSize, Words(list), directory))
            throw new SymbolFormatException($"{name} is truncated or damaged: its directory of streams lies outside of its {bytes.Length} bytes; get it anew");
        return Parse(bytes, name, blockSize, Words(directory), limits);
    }

    /// <summary>Bytes of a stream; null where the file has no such stream.</summary>
    public int? LengthOf(int stream) => (uint)stream < (uint)_lengths.Length && _lengths[stream] >= 0 ? _lengths[stream] : null;

    /// <summary>A stream, or its beginning; null where the file has no such stream or not all of its blocks.</summary>
    public byte[]? Read(int stream, int atMost = int.MaxValue)
    {
        if (LengthOf(stream) is not { } length)
            return null;
        var bytes = new byte[Math.Min(length, atMost)];
        return TryGather(_bytes, _blockSize, _directory.AsSpan(_firstBlocks[stream], BlocksOf((uint)bytes.Length, _blockSize)), bytes) ? bytes : null;
    }

    public void Dispose() => _bytes.Dispose();

    private static MsfFile Parse(PdbBytes bytes, string name, int blockSize, uint[] directory, SymbolLimits limits)
    {
        var count = directory[0];
        if (count > limits.MaxStreams || count >= directory.Length)
            throw new SymbolFormatException($"{name} is damaged: its directory of {directory.Length * sizeof(uint)} bytes says {count} streams");
        var (lengths, firstBlocks, next) = (new int[count], new int[count], 1 + (long)count);
        for (var i = 0; i < count; i++)
        {
            var length = directory[1 + i];
            firstBlocks[i] = (int)next;
            if (length == NoStream)
            {
                lengths[i] = -1;
                continue;
            }
            next += BlocksOf(length, blockSize);
            // No block belongs to two streams, so no stream is longer than the file.
            if (next > directory.Length || length > bytes.Length || length > limits.MaxStreamLength)
                throw new SymbolFormatException($"{name} is truncated or damaged: stream {i} of {length} bytes does not fit; get it anew");
            lengths[i] = (int)length;
        }
        return new MsfFile(bytes, blockSize, directory, lengths, firstBlocks);
    }

    private static bool TryGather(PdbBytes bytes, int blockSize, ReadOnlySpan<uint> blocks, Span<byte> destination)
    {
        for (var i = 0; i < blocks.Length && !destination.IsEmpty;)
        {
            var run = 1;
            while (i + run < blocks.Length && blocks[i + run] == blocks[i] + (uint)run)
                run++;
            var length = (int)Math.Min((long)run * blockSize, destination.Length);
            if (!bytes.TryRead((long)blocks[i] * blockSize, destination[..length]))
                return false;
            destination = destination[length..];
            i += run;
        }
        return destination.IsEmpty;
    }

    private static int BlocksOf(uint length, int blockSize) => (int)((length + (ulong)blockSize - 1) / (ulong)blockSize);

    private static uint[] Words(ReadOnlySpan<byte> bytes)
    {
        var words = new uint[bytes.Length / sizeof(uint)];
        for (var i = 0; i < words.Length; i++)
            words[i] = U32(bytes, i * sizeof(uint));
        return words;
    }

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);

    private static string Explain(string name, ReadOnlySpan<byte> head) =>
        head.StartsWith("BSJB"u8) ? $"{name} is a portable PDB of .NET, which knows no native types: give the kernel's own PDB"
        : head.StartsWith("Microsoft C/C++ program database 2.00"u8) ? $"{name} is a PDB of the format before 2000 (2.00), which no Windows kernel since XP has"
        : head.StartsWith("MSCF"u8) ? $"{name} is compressed (a cabinet, as symbol servers keep them with a '_' at the end): unpack it first, for example with cabextract"
        : $"{name} is no PDB: it does not begin as MSF 7.00 files do";
}
