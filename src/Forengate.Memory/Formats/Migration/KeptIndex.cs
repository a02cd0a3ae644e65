using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// The index of a migration stream, kept in a file between openings, so that only the devices' state is read again. The file is named after the image's identity, carries it, and ends with
/// a checksum; every count in it is checked against the limits all the same.
/// </summary>
/// <remarks>Little-endian: signature, identity, then what <see cref="Write"/> writes, then the SHA-256 of all before. A host of another byte order would refuse it by the signature.</remarks>
internal static class KeptIndex
{
    private const ulong Signature = 0x3130_5845_444E_4951;
    private const string Extension = ".qevm-index";

    /// <summary>What is hashed of the image: its first and last bytes.</summary>
    private const int SampleSize = 64 << 10;

    /// <summary>Digest of what tells an image from others: where the stream lies in the file, the file's size and time of change, its first and last 64 KiB.</summary>
    public static byte[] IdentityOf(MappedFile file, long offset, long length)
    {
        Span<byte> numbers = stackalloc byte[4 * sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(numbers, offset);
        BinaryPrimitives.WriteInt64LittleEndian(numbers[8..], length);
        BinaryPrimitives.WriteInt64LittleEndian(numbers[16..], file.Length);
        BinaryPrimitives.WriteInt64LittleEndian(numbers[24..], File.GetLastWriteTimeUtc(file.Path).Ticks);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(numbers);
        hash.AppendData(file.Span(offset, SampleSize));
        hash.AppendData(file.Span(Math.Max(0, file.Length - SampleSize), SampleSize));
        return hash.GetHashAndReset();
    }

    /// <summary>Keeps the index of a whole, sound stream.</summary>
    /// <returns>Why it could not be kept; null when it was.</returns>
    public static string? Save(string folder, byte[] identity, MigrationStream stream)
    {
        var path = PathOf(folder, identity);
        var part = $"{path}.{Environment.ProcessId}";
        try
        {
            Directory.CreateDirectory(folder);
            using (var file = new FileStream(part, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            {
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                using var writer = new BinaryWriter(new HashingStream(file, hash), Encoding.UTF8);
                writer.Write(Signature);
                writer.Write(identity);
                Write(writer, stream);
                writer.Flush();
                file.Write(hash.GetHashAndReset());
            }
            File.Move(part, path, overwrite: true);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            File.Delete(part);
            return e.Message;
        }
    }

    /// <summary>Gets back what was kept of an image; null where nothing sound was.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="identity">Of the image.</param>
    /// <param name="limits">Bounds on what is believed.</param>
    /// <param name="budget">Charged for the index.</param>
    /// <param name="parts">Bodies of the ram sections: from, to.</param>
    public static MigrationStream? Load(string folder, byte[] identity, ImageLimits limits, IndexBudget budget, out Dictionary<long, long> parts)
    {
        parts = [];
        var path = PathOf(folder, identity);
        try
        {
            if (!File.Exists(path))
                return null;
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            using var reader = new BinaryReader(new HashingStream(file, hash), Encoding.UTF8);
            if (file.Length > limits.IndexBytes || reader.ReadUInt64() != Signature || !reader.ReadBytes(identity.Length).AsSpan().SequenceEqual(identity))
                return null;
            var stream = new MigrationStream();
            if (!Read(reader, stream, limits, budget, parts))
                return null;
            var sum = new byte[SHA256.HashSizeInBytes];
            return file.ReadAtLeast(sum, sum.Length, throwOnEndOfStream: false) == sum.Length && hash.GetHashAndReset().AsSpan().SequenceEqual(sum) ? stream : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ImageFormatException)
        {
            return null;
        }
    }

    private static string PathOf(string folder, byte[] identity) => Path.Combine(folder, Convert.ToHexStringLower(identity.AsSpan(0, 16)) + Extension);

    private static void Write(BinaryWriter writer, MigrationStream stream)
    {
        writer.Write(stream.DeflatedPages);
        writer.Write(stream.RamParts.Count);
        foreach (var (from, to) in stream.RamParts)
        {
            writer.Write(from);
            writer.Write(to);
        }
        writer.Write(stream.Deltas.Count);
        writer.Write(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(stream.Deltas)));
        writer.Write(stream.Blocks.Count);
        foreach (var block in stream.Blocks)
        {
            writer.Write(block.Name);
            writer.Write(block.Length);
            writer.Write(block.HostPageSize ?? ulong.MaxValue);
            writer.Write(block.RegionOffset ?? ulong.MaxValue);
            writer.Write(block.PagesSeen);
            for (var chunk = 0UL; chunk < block.Index.Chunks; chunk++)
            {
                if (block.Index.ChunkAt(chunk) is not { } kept)
                    continue;
                writer.Write(chunk);
                writer.Write(kept.Length);
                writer.Write(MemoryMarshal.AsBytes(kept.AsSpan()));
            }
            writer.Write(ulong.MaxValue);
        }
    }

    private static bool Read(BinaryReader reader, MigrationStream stream, ImageLimits limits, IndexBudget budget, Dictionary<long, long> parts)
    {
        stream.DeflatedPages = reader.ReadInt64();
        var count = reader.ReadInt32();
        if (count < 0 || count > limits.Extents)
            return false;
        for (var i = 0; i < count; i++)
        {
            var (from, to) = (reader.ReadInt64(), reader.ReadInt64());
            if (to <= from || !parts.TryAdd(from, to))
                return false;
        }
        if (!ReadDeltas(reader, stream, budget))
            return false;
        count = reader.ReadInt32();
        if (count < 0 || count > limits.Blocks)
            return false;
        for (var i = 0; i < count; i++)
        {
            if (!ReadBlock(reader, stream, limits, budget))
                return false;
        }
        return true;
    }

    private static bool ReadDeltas(BinaryReader reader, MigrationStream stream, IndexBudget budget)
    {
        var count = reader.ReadInt32();
        if (count < 0)
            return false;
        var one = new PageDelta[1];
        for (var i = 0; i < count; i++)
        {
            budget.Take(Unsafe.SizeOf<PageDelta>());
            reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(one.AsSpan()));
            var before = one[0].Before;
            // A change lies over an earlier one: so chains end, and are as long as they say.
            var depth = before.Kind != PageEntryKind.Delta ? 0 : before.Value < i ? stream.Deltas[(int)before.Value].Depth + 1 : -1;
            if (one[0].Depth != depth || depth < 0 || depth >= RamSection.MostDeltas || one[0].Length > Page.Size)
                return false;
            stream.Deltas.Add(one[0]);
        }
        return true;
    }

    private static bool ReadBlock(BinaryReader reader, MigrationStream stream, ImageLimits limits, IndexBudget budget)
    {
        var (name, length) = (reader.ReadString(), reader.ReadUInt64());
        var (hostPage, region, seen) = (reader.ReadUInt64(), reader.ReadUInt64(), reader.ReadUInt64());
        if (length > limits.AddressSpace || (length & Page.OffsetMask) != 0)
            return false;
        var block = new MigrationBlock(name, length, new PageIndex(length >> Page.Shift, budget))
        {
            HostPageSize = hostPage == ulong.MaxValue ? null : hostPage,
            RegionOffset = region == ulong.MaxValue ? null : region,
            PagesSeen = seen,
        };
        while (reader.ReadUInt64() is var chunk && chunk != ulong.MaxValue)
        {
            var words = reader.ReadInt32();
            if (words is <= 0 or > PageIndex.ChunkPages)
                return false;
            var kept = new ulong[words];
            reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(kept.AsSpan()));
            if (!block.Index.TryRestore(chunk, kept))
                return false;
        }
        stream.Blocks.Add(block);
        return true;
    }

    /// <summary>Hashes what goes through it.</summary>
    private sealed class HashingStream(Stream inner, IncrementalHash hash) : Stream
    {
        public override bool CanRead => inner.CanRead;

        public override bool CanSeek => false;

        public override bool CanWrite => inner.CanWrite;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

        public override void Flush() => inner.Flush();

        public override int Read(Span<byte> buffer)
        {
            var got = inner.Read(buffer);
            hash.AppendData(buffer[..got]);
            return got;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            hash.AppendData(buffer);
            inner.Write(buffer);
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
