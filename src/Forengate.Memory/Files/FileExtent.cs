namespace Forengate.Memory;

/// <summary>A stretch of guest-physical memory and what an image file has for it.</summary>
/// <param name="Start">Guest-physical address of the first byte.</param>
/// <param name="Length">In bytes.</param>
/// <param name="State"><see cref="PageState.Present"/>: the file holds the bytes; anything else: it holds none, for this reason.</param>
/// <param name="FileOffset">Where the bytes lie in the file; without meaning unless present.</param>
public readonly record struct FileExtent(PhysicalAddress Start, ulong Length, PageState State, ulong FileOffset)
{
    /// <summary>The file holds the bytes at <paramref name="fileOffset"/>.</summary>
    public static FileExtent Stored(PhysicalAddress start, ulong length, ulong fileOffset) => new(start, length, PageState.Present, fileOffset);

    /// <summary>The guest has memory there, the file has not.</summary>
    public static FileExtent Without(PhysicalAddress start, ulong length, PageState state) => new(start, length, state, 0);
}
