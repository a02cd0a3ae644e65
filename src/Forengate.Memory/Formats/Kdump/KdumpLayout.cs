namespace Forengate.Memory;

/// <summary>
/// Where the fields of a kdump-compressed file's headers lie, in bytes. They are C structures of the kernel that wrote them, so there is one layout for 32-bit and one for 64-bit machines.
/// </summary>
/// <remarks>
/// makedumpfile, <c>diskdump_mod.h</c> (struct disk_dump_header, kdump_sub_header, page_desc); QEMU, <c>include/sysemu/dump.h</c> (DiskDumpHeader32/64, KdumpSubHeader32/64, PageDescriptor).
/// The 32-bit sub-header is that of i386, which aligns 64-bit fields to 4 bytes.
/// </remarks>
internal sealed record KdumpLayout
{
    public static ReadOnlySpan<byte> Signature => "KDUMP   "u8;

    // Alike in both.
    public const int VersionAt = 8;
    public const int NamesAt = 12;
    public const int NameSize = 65;
    public const int SystemNameAt = NamesAt;
    public const int MachineAt = NamesAt + (4 * NameSize);

    /// <summary>Blocks before the sub-header.</summary>
    public const int HeaderBlocks = 1;

    /// <summary>Largest of both headers.</summary>
    public const int HeaderSize = 464;

    /// <summary>Largest of both sub-headers.</summary>
    public const int LargestSubHeader = 104;

    /// <summary>The newest version that is known.</summary>
    public const int NewestVersion = 6;

    // status, beside the codecs of KdumpCodec.
    public const uint StatusIncomplete = 0x8;

    /// <summary>All pages but those that hold zeros: what QEMU says and what fits a dump of everything.</summary>
    public const int DumpLevelZero = 1;

    public static KdumpLayout Bits64 { get; } = new()
    {
        WordSize = 8,
        TimeAt = 408,
        StatusAt = 424,
        BlockSizeAt = 428,
        SubHeaderBlocksAt = 432,
        BitmapBlocksAt = 436,
        MaxFramesAt = 440,
        CpusAt = 460,
        SubHeaderSize = LargestSubHeader,
        DumpLevelAt = 8,
        SplitAt = 12,
        StartFrameAt = 16,
        EndFrameAt = 24,
        VmcoreInfoAt = 32,
        NotesAt = 48,
        EraseInfoAt = 64,
        StartFrame64At = 80,
        EndFrame64At = 88,
        MaxFrames64At = 96,
    };

    public static KdumpLayout Bits32 { get; } = new()
    {
        WordSize = 4,
        TimeAt = 404,
        StatusAt = 412,
        BlockSizeAt = 416,
        SubHeaderBlocksAt = 420,
        BitmapBlocksAt = 424,
        MaxFramesAt = 428,
        CpusAt = 448,
        SubHeaderSize = 80,
        DumpLevelAt = 4,
        SplitAt = 8,
        StartFrameAt = 12,
        EndFrameAt = 16,
        VmcoreInfoAt = 20,
        NotesAt = 32,
        EraseInfoAt = 44,
        StartFrame64At = 56,
        EndFrame64At = 64,
        MaxFrames64At = 72,
    };

    /// <summary>Bytes of a C <c>long</c>: phys_base, frame numbers of the sub-header, the sizes that follow each 64-bit offset.</summary>
    public required int WordSize { get; init; }

    /// <summary>Seconds since 1970, then microseconds, a word each.</summary>
    public required int TimeAt { get; init; }
    public required int StatusAt { get; init; }
    public required int BlockSizeAt { get; init; }
    public required int SubHeaderBlocksAt { get; init; }
    public required int BitmapBlocksAt { get; init; }
    public required int MaxFramesAt { get; init; }
    public required int CpusAt { get; init; }

    // Within the sub-header, which starts at block 1.
    public required int SubHeaderSize { get; init; }
    public required int DumpLevelAt { get; init; }
    public required int SplitAt { get; init; }
    public required int StartFrameAt { get; init; }
    public required int EndFrameAt { get; init; }

    /// <summary>u64 offset in the file, then a word of size; from version 3.</summary>
    public required int VmcoreInfoAt { get; init; }

    /// <summary>From version 4.</summary>
    public required int NotesAt { get; init; }

    /// <summary>From version 5.</summary>
    public required int EraseInfoAt { get; init; }

    // From version 6.
    public required int StartFrame64At { get; init; }
    public required int EndFrame64At { get; init; }
    public required int MaxFrames64At { get; init; }
}
