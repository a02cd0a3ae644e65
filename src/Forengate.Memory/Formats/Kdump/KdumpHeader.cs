using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace Forengate.Memory;

/// <summary>What the two headers of a kdump-compressed file say.</summary>
internal sealed record KdumpHeader
{
    private const uint LeastBlock = 512;

    /// <summary>Above the largest page of any machine, 64 KiB, and below what 4 KiB are when their bytes are taken in the wrong order.</summary>
    private const uint LargestBlock = 1 << 18;

    public required KdumpLayout Layout { get; init; }

    public bool Is64 => Layout.WordSize == sizeof(ulong);

    public required int Version { get; init; }

    /// <summary>utsname.machine: "x86_64" in what QEMU 7 writes, "Unknown" in QEMU 10's.</summary>
    public required string Machine { get; init; }

    /// <summary>utsname.sysname: "Linux" in makedumpfile's, empty in QEMU's.</summary>
    public required string SystemName { get; init; }

    /// <summary>Seconds since 1970; 0 in QEMU's.</summary>
    public required long Seconds { get; init; }

    public required uint Status { get; init; }

    public required uint BlockSize { get; init; }

    public required uint SubHeaderBlocks { get; init; }

    public required uint BitmapBlocks { get; init; }

    /// <summary>One past the last frame.</summary>
    public required ulong MaxFrames { get; init; }

    public required int Cpus { get; init; }

    /// <summary>The file is one of several that together make the dump, and has the frames from <see cref="StartFrame"/> to before <see cref="EndFrame"/>.</summary>
    public bool IsSplit { get; init; }

    public ulong StartFrame { get; init; }

    public ulong EndFrame { get; init; } = ulong.MaxValue;

    public (ulong Offset, ulong Size) VmcoreInfo { get; init; }

    public (ulong Offset, ulong Size) Notes { get; init; }

    public (ulong Offset, ulong Size) EraseInfo { get; init; }

    public ulong BitmapOffset => (KdumpLayout.HeaderBlocks + (ulong)SubHeaderBlocks) * BlockSize;

    public ulong BitmapBytes => (ulong)BitmapBlocks * BlockSize;

    public ulong DescriptorsOffset => BitmapOffset + BitmapBytes;

    /// <summary>Reads the headers. Returns null when they are good, else what is wrong, as the end of a sentence that begins with the file's name.</summary>
    public static string? Parse(KdumpBytes bytes, out KdumpHeader header)
    {
        header = null!;
        var scratch = new byte[KdumpLayout.HeaderSize];
        var head = bytes.Take(0, scratch.Length, scratch);
        if (head.IsEmpty)
            return "is a kdump that is cut off within its header";
        if (!head.StartsWith(KdumpLayout.Signature))
        {
            return head.StartsWith("\u007fELF"u8)
                ? "is a flattened ELF core; makedumpfile -R makes a plain one of it, which is read"
                : "is a flattened file of something that is no kdump; makedumpfile -R makes a plain file of it";
        }
        // In a 64-bit file the place of the 32-bit sub-header's size is the upper half of the microseconds, always 0: asked first, 32 bits are never taken by mistake.
        var layout = IsPlausible(head, KdumpLayout.Bits32, isLittle: true) ? KdumpLayout.Bits32 : KdumpLayout.Bits64;
        if (!IsPlausible(head, layout, isLittle: true))
        {
            return IsPlausible(head, KdumpLayout.Bits64, isLittle: false) || IsPlausible(head, KdumpLayout.Bits32, isLittle: false)
                ? "is a kdump of a big-endian machine, which no Windows runs on"
                : "is a kdump whose header makes no sense: block size, bitmap and number of pages don't fit each other";
        }
        var machine = Text(head, KdumpLayout.MachineAt);
        // QEMU 10 has "Unknown" for every machine.
        if (machine is not ("" or "Unknown" or "x86_64" or "i386" or "i486" or "i586" or "i686"))
            return $"is a kdump of another processor ({machine}); only x86 and x64 are read";
        var blockSize = U32(head, layout.BlockSizeAt);
        if (blockSize != Page.Size)
            return $"is a kdump of pages of {blockSize} bytes; those of x86 machines have {Page.Size}";
        header = WithSubHeader(bytes, new KdumpHeader
        {
            Layout = layout,
            Version = BinaryPrimitives.ReadInt32LittleEndian(head[KdumpLayout.VersionAt..]),
            Machine = machine,
            SystemName = Text(head, KdumpLayout.SystemNameAt),
            Seconds = (long)Word(head, layout.TimeAt, layout.WordSize),
            Status = U32(head, layout.StatusAt),
            BlockSize = blockSize,
            SubHeaderBlocks = U32(head, layout.SubHeaderBlocksAt),
            BitmapBlocks = U32(head, layout.BitmapBlocksAt),
            MaxFrames = U32(head, layout.MaxFramesAt),
            Cpus = BinaryPrimitives.ReadInt32LittleEndian(head[layout.CpusAt..]),
        });
        return header.Version < 0 ? "is a kdump of a negative version" : null;
    }

    /// <summary>Adds the sub-header, as far as the version has it and the file holds it.</summary>
    private static KdumpHeader WithSubHeader(KdumpBytes bytes, KdumpHeader header)
    {
        var layout = header.Layout;
        var scratch = new byte[layout.SubHeaderSize];
        var sub = bytes.Take(KdumpLayout.HeaderBlocks * (ulong)header.BlockSize, scratch.Length, scratch);
        if (sub.IsEmpty)
            return header;
        if (header.Version >= 2 && U32(sub, layout.SplitAt) != 0)
        {
            header = header with
            {
                IsSplit = true,
                StartFrame = header.Version >= 6 ? U64(sub, layout.StartFrame64At) : Word(sub, layout.StartFrameAt, layout.WordSize),
                EndFrame = header.Version >= 6 ? U64(sub, layout.EndFrame64At) : Word(sub, layout.EndFrameAt, layout.WordSize),
            };
        }
        return header with
        {
            VmcoreInfo = header.Version >= 3 ? Part(sub, layout, layout.VmcoreInfoAt) : default,
            Notes = header.Version >= 4 ? Part(sub, layout, layout.NotesAt) : default,
            EraseInfo = header.Version >= 5 ? Part(sub, layout, layout.EraseInfoAt) : default,
            MaxFrames = header.Version >= 6 && U64(sub, layout.MaxFrames64At) is not 0 and var frames ? frames : header.MaxFrames,
        };
    }

    private static (ulong Offset, ulong Size) Part(ReadOnlySpan<byte> sub, KdumpLayout layout, int at) => (U64(sub, at), Word(sub, at + sizeof(ulong), layout.WordSize));

    private static bool IsPlausible(ReadOnlySpan<byte> head, KdumpLayout layout, bool isLittle)
    {
        var (block, subHeader, bitmap, frames) = (Get(layout.BlockSizeAt, head), Get(layout.SubHeaderBlocksAt, head), Get(layout.BitmapBlocksAt, head), Get(layout.MaxFramesAt, head));
        return BitOperations.IsPow2(block) && block is >= LeastBlock and <= LargestBlock && subHeader != 0 && bitmap != 0 && (ulong)bitmap * block * 8 >= frames;

        uint Get(int at, ReadOnlySpan<byte> from) => isLittle ? U32(from, at) : BinaryPrimitives.ReadUInt32BigEndian(from[at..]);
    }

    /// <summary>A name of struct new_utsname; hostile, so only what can be printed is taken.</summary>
    private static string Text(ReadOnlySpan<byte> head, int at)
    {
        var name = head.Slice(at, KdumpLayout.NameSize);
        var end = name.IndexOf((byte)0);
        var text = Encoding.ASCII.GetString(end < 0 ? name : name[..end]);
        return string.Concat(text.Select(character => char.IsAsciiLetterOrDigit(character) || " ._-+#:".Contains(character) ? character : '?'));
    }

    private static uint U32(ReadOnlySpan<byte> from, int at) => BinaryPrimitives.ReadUInt32LittleEndian(from[at..]);

    private static ulong U64(ReadOnlySpan<byte> from, int at) => BinaryPrimitives.ReadUInt64LittleEndian(from[at..]);

    private static ulong Word(ReadOnlySpan<byte> from, int at, int size) => size == sizeof(ulong) ? U64(from, at) : U32(from, at);
}
