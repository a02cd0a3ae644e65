namespace Forengate.Memory;

/// <summary>
/// XBZRLE, QEMU's difference between two versions of a page (docs/xbzrle.txt, migration/xbzrle.c): by turns a count of bytes that stay, and a count of bytes that change with the new
/// bytes behind it. Counts are LEB128 of at most two bytes.
/// </summary>
internal static class Xbzrle
{
    /// <summary>Applies a change to a page.</summary>
    /// <param name="change">The encoded difference.</param>
    /// <param name="page">The earlier version; then the later one.</param>
    /// <returns>False when the encoding is broken: <paramref name="page"/> is then of no use.</returns>
    public static bool TryApply(ReadOnlySpan<byte> change, Span<byte> page)
    {
        var at = 0;
        for (var i = 0; i < change.Length;)
        {
            var first = i == 0;
            if (!TryCount(change, ref i, out var same) || (same == 0 && !first) || !TryCount(change, ref i, out var changed) || changed == 0)
                return false;
            at += same;
            if (at > page.Length || changed > page.Length - at || changed > change.Length - i)
                return false;
            change.Slice(i, changed).CopyTo(page[at..]);
            at += changed;
            i += changed;
        }
        return true;
    }

    private static bool TryCount(ReadOnlySpan<byte> change, ref int at, out int count)
    {
        const byte More = 0x80;
        count = 0;
        if (at >= change.Length)
            return false;
        count = change[at++];
        if ((count & More) == 0)
            return true;
        if (at >= change.Length || (change[at] & More) != 0)
            return false;
        count = (count & ~More) | (change[at++] << 7);
        return true;
    }
}
