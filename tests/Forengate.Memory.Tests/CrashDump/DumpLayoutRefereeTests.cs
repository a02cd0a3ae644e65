using System.Buffers.Binary;
using Forengate.Testing.Referee;

namespace Forengate.Memory.Tests;

/// <summary>
/// Where bitmaps lie in dumps of both widths, judged by the debugger engine: small dumps with page tables in them, in which one virtual address leads to a page of words that only the right
/// reading of the bitmap finds. The same files are read by us.
/// </summary>
public sealed class DumpLayoutRefereeTests : IDisposable
{
    private const ulong Tables = 2, Words = 9;
    private const int Bits = 12;

    private static readonly ulong[] Frames = [Tables, 3, 5, 6, Words];

    private readonly string _path = Path.GetTempFileName() + ".dmp";

    public void Dispose() => File.Delete(_path);

    public static TheoryData<bool, uint> Types => new() { { true, 2 }, { true, 5 }, { true, 6 }, { false, 2 }, { false, 5 }, { false, 6 } };

    [Theory, MemberData(nameof(Types))]
    public void TheEngineReadsThePageThatWeRead(bool is64, uint type)
    {
        var header = DumpFile.Header(is64, type, 0, (0, Bits));
        Complete(header, is64);
        File.WriteAllBytes(_path, DumpFile.Bitmap(header, "SDMP"u8, Bits, Frames, type == 2, frame => PageOf(frame, is64)));

        using (var view = ImageReader.Open(_path))
        {
            var ours = new byte[16];
            Assert.True(view.Memory.TryRead(PhysicalAddress.FromFrame(Words), ours));
            Assert.Equal("words of page 9;", System.Text.Encoding.ASCII.GetString(ours));
            Assert.Empty(view.Origin.Damage);
        }
        var address = is64 ? 0xFFFF_8000_0000_1000UL : 0x8000_1000UL;
        var verdict = DebuggerEngine.Judge(_path, EngineVerdict.ReadOf(address, 16));
        Assert.True(verdict.Opened, verdict.Refusal);
        Assert.Contains($"{(is64 ? 64 : 32)} bit Kernel {(type == 2 ? "Summary" : "Bitmap")} Dump", verdict.Header.Kind, StringComparison.Ordinal);
        Assert.Equal("words of page 9;", string.Concat(verdict.Memory(address, 16).Select(one => (char)(one ?? (byte)'?'))));
    }

    /// <summary>What the engine wants before it walks page tables: version, processors, a table, a time.</summary>
    private static void Complete(byte[] header, bool is64)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(8), 0xF);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(12), is64 ? 19041u : 7601u);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(is64 ? 0xFA8 : 0xFC0), 132_000_000_000_000_000);
        if (is64)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(0x10), Tables << 12);
            for (var at = 0x18; at < 0x30; at += 8)
                BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(at), 0xFFFF_8000_0000_1100);
            BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(0x34), 1);
            BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(0x80), 0xFFFF_8000_0000_1300);
            return;
        }
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(0x10), (uint)Tables << 12);
        for (var at = 0x14; at < 0x20; at += 4)
            BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(at), 0x8000_1100);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(0x24), 1);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(0x60), 0x8000_1300);
    }

    /// <summary>Four levels for 0xffff800000001000, or PAE's three for 0x80001000 (Intel SDM vol. 3A, 4.4 and 4.5).</summary>
    private static byte[] PageOf(ulong frame, bool is64)
    {
        var page = new byte[Page.Size];
        if (frame == Tables)
            Entry(is64 ? 256 : 2, 3, is64 ? 0x63u : 1u);
        else if (frame == 3)
            Entry(0, is64 ? 5u : 6u, 0x63);
        else if (frame == 5)
            Entry(0, 6, 0x63);
        else if (frame == 6)
            Entry(1, (uint)Words, 0x63);
        else if (frame == Words)
            "words of page 9;"u8.CopyTo(page);
        return page;

        void Entry(int index, uint to, uint flags) => BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(index * 8), ((ulong)to << 12) | flags);
    }
}
