namespace Forengate.Memory.Tests;

/// <summary>Two memories that must hold the same, read in all the ways there are.</summary>
internal static class MemoryEquality
{
    private const int Window = 3 << 20;

    /// <summary>Every range of the expected one, by large reads, by batches of scattered pages, by single odd reads, and by mapping.</summary>
    public static void Assert(PhysicalMemory expected, PhysicalMemory actual)
    {
        Xunit.Assert.Equal(expected.Ranges, actual.Ranges);
        var (theirs, ours) = (new byte[Window], new byte[Window]);
        foreach (var range in expected.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Window)
            {
                var length = (int)Math.Min(Window, range.End - at);
                Xunit.Assert.Equal(length, expected.Read(at, theirs.AsSpan(0, length)));
                Xunit.Assert.Equal(length, actual.Read(at, ours.AsSpan(0, length)));
                Same(at, theirs.AsSpan(0, length), ours.AsSpan(0, length));

                var pages = new PhysicalAddress[length / Page.Size];
                for (var i = 0; i < pages.Length; i++)
                    pages[i] = at + (ulong)(pages.Length - 1 - i) * Page.Size;
                var states = new PageState[pages.Length];
                Xunit.Assert.Equal(pages.Length, actual.ReadPages(pages, ours, states));
                for (var i = 0; i < pages.Length; i++)
                    Same(pages[i], theirs.AsSpan((pages.Length - 1 - i) * Page.Size, Page.Size), ours.AsSpan(i * Page.Size, Page.Size));

                for (var odd = 1; odd + 9000 < length; odd += 123_457)
                {
                    Xunit.Assert.Equal(9000, actual.Read(at + (ulong)odd, ours.AsSpan(0, 9000)));
                    Same(at + (ulong)odd, theirs.AsSpan(odd, 9000), ours.AsSpan(0, 9000));
                    var mapped = actual.Map(at + (ulong)odd, 100);
                    Same(at + (ulong)odd, theirs.AsSpan(odd, mapped.Length), mapped);
                }
            }
        }
    }

    private static void Same(PhysicalAddress at, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual) =>
        Xunit.Assert.True(expected.SequenceEqual(actual), $"memory from {at} on differs at +0x{expected.CommonPrefixLength(actual):x}");
}
