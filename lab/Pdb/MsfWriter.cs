namespace Forengate.Lab.Pdb;

/// <summary>Writes numbered streams as an MSF 7.00 file, the container of PDBs (llvm.org/docs/PDB/MsfFile.html).</summary>
internal static class MsfWriter
{
    private const int BlockSize = 4096;

    public static byte[] Write(IReadOnlyList<byte[]> streams)
    {
        var next = 3;
        int Allocate()
        {
            // Blocks 1 and 2 of every 4096 are for the free block maps.
            while (next % BlockSize is 1 or 2)
                next++;
            return next++;
        }
        int[] Blocks(int length) => [.. Enumerable.Range(0, (length + BlockSize - 1) / BlockSize).Select(_ => Allocate())];

        var directory = new RecordWriter().U32(streams.Count);
        foreach (var stream in streams)
            directory.U32(stream.Length);
        var places = streams.Select(stream => Blocks(stream.Length)).ToList();
        foreach (var block in places.SelectMany(blocks => blocks))
            directory.U32(block);
        var listed = directory.ToArray();
        var directoryBlocks = Blocks(listed.Length);
        var map = new RecordWriter();
        foreach (var block in directoryBlocks)
            map.U32(block);
        if (map.Length > BlockSize)
            throw new InvalidOperationException("the directory is larger than one block can list");
        var mapBlock = Allocate();

        var file = new byte[next * BlockSize];
        new RecordWriter()
            .Bytes("Microsoft C/C++ MSF 7.00\r\n\u001aDS\0\0\0"u8).U32(BlockSize).U32(1).U32(next).U32(listed.Length).U32(0).U32(mapBlock)
            .ToArray().CopyTo(file, 0);
        map.ToArray().CopyTo(file, mapBlock * BlockSize);
        Scatter(listed, directoryBlocks);
        for (var i = 0; i < streams.Count; i++)
            Scatter(streams[i], places[i]);
        for (var interval = 0; interval * BlockSize + 2 < next; interval++)
            FreeMap(interval);
        return file;

        void Scatter(byte[] bytes, int[] blocks)
        {
            for (var i = 0; i < blocks.Length; i++)
                bytes.AsSpan(i * BlockSize, Math.Min(BlockSize, bytes.Length - i * BlockSize)).CopyTo(file.AsSpan(blocks[i] * BlockSize));
        }

        // One bit a block, set where it is free. The map in use goes on in each interval; the other one has nothing in use.
        void FreeMap(int interval)
        {
            var used = file.AsSpan((interval * BlockSize + 1) * BlockSize, BlockSize);
            used.Fill(0xFF);
            file.AsSpan((interval * BlockSize + 2) * BlockSize, Math.Min(BlockSize, file.Length - (interval * BlockSize + 2) * BlockSize)).Fill(0xFF);
            for (var bit = 0; bit < BlockSize * 8; bit++)
            {
                if (interval * BlockSize * 8 + bit < next)
                    used[bit / 8] &= (byte)~(1 << (bit % 8));
            }
        }
    }
}
