namespace Forengate.Memory;

/// <summary>What several writers say in the same words.</summary>
internal static class ImageWriteText
{
    private const int RangesNamed = 8;

    /// <summary>The first ranges, and how many more there are.</summary>
    public static string Ranges(IReadOnlyList<PhysicalRange> ranges) =>
        string.Join(", ", ranges.Take(RangesNamed)) + (ranges.Count > RangesNamed ? $" and {ranges.Count - RangesNamed} more" : "");
}
