using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>What was written.</summary>
public sealed record DumpResult
{
    /// <summary>The file's path, or <c>-</c> for a stream.</summary>
    public required string Path { get; init; }

    /// <summary>Size of the file in bytes.</summary>
    public required ulong Bytes { get; init; }

    /// <summary>Pages in the dump.</summary>
    public required ulong Pages { get; init; }

    /// <summary>Pages that hold only zeros: holes in the file where it can have any.</summary>
    public required ulong ZeroPages { get; init; }

    /// <summary>Pages of the runs that the view had no bytes for: zeros in a complete dump, left out of a bitmap dump (but for those that were lost while it was written).</summary>
    public required ulong MissingPages { get; init; }

    /// <summary>Where the missing pages are; the first <see cref="DumpWriter.MissingRangesNamed"/> ranges.</summary>
    public required IReadOnlyList<PhysicalRange> MissingRanges { get; init; }

    public required TimeSpan Duration { get; init; }

    /// <summary>How long the guest stood still: known only when its view was closed, so that whoever closes it fills this in.</summary>
    public TimeSpan? StoodStill { get; init; }

    /// <summary>What was planned and written: header fields with sources, processors, patches, disagreements, gaps.</summary>
    public required DumpPlan Plan { get; init; }

    /// <summary>False when a debugger will miss something: pages, registers, KDBG. <see cref="DumpPlan.Gaps"/> and <see cref="MissingRanges"/> say what.</summary>
    public bool IsComplete => MissingPages == 0 && Plan.Gaps.Count == 0;
}
