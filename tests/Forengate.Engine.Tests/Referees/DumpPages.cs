using System.Buffers.Binary;

namespace Forengate.Engine.Tests.Referees;

/// <summary>The pages of a complete 64-bit dump by their guest-physical address, read without any of Forengate's own code: header field offsets as in ntdddisk's DUMP_HEADER64 (docs/formats/crash-dump.md).</summary>
internal sealed class DumpPages : IDisposable
{
    public const int PageSize = 4096;
    private const int HeaderSize = 0x2000, RunCount = 0x88, FirstRun = 0x98, RunSize = 16;

    private readonly FileStream file;
    private readonly byte[] header = new byte[HeaderSize];

    public DumpPages(string path)
    {
        file = File.OpenRead(path);
        file.ReadExactly(header);
        Assert.Equal("PAGEDU64", System.Text.Encoding.ASCII.GetString(header, 0, 8));
        var runs = new List<(ulong, ulong)>();
        for (var i = 0; i < BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(RunCount)); i++)
            runs.Add((BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(FirstRun + (i * RunSize))), BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(FirstRun + 8 + (i * RunSize)))));
        Runs = runs;
    }

    public IReadOnlyList<(ulong BasePage, ulong Pages)> Runs { get; }

    public ReadOnlySpan<byte> Header => header;

    /// <summary>Addresses of the pages in which two dumps of the same runs differ.</summary>
    public static IReadOnlySet<ulong> Differing(DumpPages left, DumpPages right)
    {
        Assert.Equal(left.Runs, right.Runs);
        left.file.Position = right.file.Position = HeaderSize;
        var (a, b) = (new byte[PageSize], new byte[PageSize]);
        var differing = new HashSet<ulong>();
        foreach (var (basePage, pages) in left.Runs)
        {
            for (var page = basePage; page < basePage + pages; page++)
            {
                left.file.ReadExactly(a);
                right.file.ReadExactly(b);
                if (!a.AsSpan().SequenceEqual(b))
                    differing.Add(page * PageSize);
            }
        }
        return differing;
    }

    public byte[] Read(ulong address, int length)
    {
        var bytes = new byte[length];
        for (var done = 0; done < length;)
        {
            var at = address + (ulong)done;
            var part = (int)Math.Min((ulong)(length - done), PageSize - (at % PageSize));
            file.Position = OffsetOf(at);
            file.ReadExactly(bytes.AsSpan(done, part));
            done += part;
        }
        return bytes;
    }

    public void Dispose() => file.Dispose();

    private long OffsetOf(ulong address)
    {
        var offset = (ulong)HeaderSize;
        foreach (var (basePage, pages) in Runs)
        {
            if (address / PageSize - basePage < pages)
                return (long)(offset + address - (basePage * PageSize));
            offset += pages * PageSize;
        }
        throw new InvalidOperationException($"0x{address:x} is in no run");
    }
}
