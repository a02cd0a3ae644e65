namespace Forengate.Memory;

/// <summary>Which pages hold only zeros: writers leave them out or make holes of them.</summary>
public static class ZeroPages
{
    /// <summary>True when every byte is zero; vectorised, ends at the first that is not.</summary>
    public static bool IsZero(ReadOnlySpan<byte> bytes) => !bytes.ContainsAnyExcept((byte)0);

    /// <summary>How many bytes of whole pages at the front are alike in being zero or not; the last page may be short.</summary>
    /// <param name="bytes">Memory from a page boundary on, not empty.</param>
    /// <param name="isZero">True when the run is of zero pages.</param>
    public static int Run(ReadOnlySpan<byte> bytes, out bool isZero)
    {
        isZero = IsZero(bytes[..Math.Min(Page.Size, bytes.Length)]);
        var end = Math.Min(Page.Size, bytes.Length);
        while (end < bytes.Length)
        {
            var next = Math.Min(Page.Size, bytes.Length - end);
            if (IsZero(bytes.Slice(end, next)) != isZero)
                break;
            end += next;
        }
        return end;
    }
}
