using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Tells which pages of a guest's anonymous memory the host has never given, or has taken back, or given as the one page of zeros that all share (a snapshot leaves such): they hold zeros,
/// and reading them would cost as much as copying and leave a trace in the host's page tables. By the PAGEMAP_SCAN call of Linux 6.7 (admin-guide/mm/pagemap), which is quick; without
/// it nothing is skipped, and who must know all the same reads an entry for each page (<c>/proc/PID/pagemap</c>).
/// </summary>
internal sealed class AbsentPages : IDisposable
{
    /// <summary>Stretches asked for at once.</summary>
    private const int Most = 256;

    /// <summary>Entries read at once.</summary>
    private const int MostEntries = 4096;

    private readonly PageScan _scan;
    private readonly List<HostRange> _anonymous = [];
    private int _unable;

    /// <summary>As on a kernel that does not know the call; for tests.</summary>
    internal void Forget() => Volatile.Write(ref _unable, 1);

    /// <summary>True where the kernel knows the call. Where not, who reads all of a guest's memory gives its absent pages entries, and nobody can tell them any more.</summary>
    public bool AreTold => Volatile.Read(ref _unable) == 0;

    private readonly record struct HostRange(ulong Start, ulong End);

    private AbsentPages(PageScan scan) => _scan = scan;

    public static AbsentPages Open(GuestMemoryMap map, QemuProcess process)
    {
        var absent = new AbsentPages(PageScan.Of(process.Id));
        try
        {
            // Of a guest whose memory still arrives from elsewhere (postcopy), what is absent is no zeros.
            if (!absent._scan.IsUsable || HasFaultsOfItsOwn(process.Id))
                return absent;
            foreach (var mapping in process.ReadMappings())
            {
                // A private file's absent pages are the file's.
                if (!mapping.Shared && mapping.Inode == 0 && map.Sections.Any(section => section.HostAddress < mapping.End && mapping.Start < section.HostAddress + section.Length))
                    absent._anonymous.Add(new HostRange(mapping.Start, mapping.End));
            }
        }
        catch (Exception e) when (e is GuestException or IOException or UnauthorizedAccessException)
        {
            absent._anonymous.Clear();
        }
        foreach (var part in absent._anonymous.Take(1))
            _ = absent.ForEachPresent(part.Start, Page.Size, static (_, _, _) => true);
        return absent;
    }

    private static bool HasFaultsOfItsOwn(int id) => Directory.EnumerateFiles($"/proc/{id}/fd").Any(link => new FileInfo(link).LinkTarget == "anon_inode:[userfaultfd]");

    /// <summary>Goes through the stretches that have pages. False where nobody knows which these are. The guest stands still.</summary>
    /// <param name="hostAddress">A page's.</param>
    /// <param name="length">Bytes to look at.</param>
    /// <param name="work">Is given each stretch that has pages, and whether these are large; what is between them has none. Ends all when it returns false.</param>
    /// <param name="byEntries">Where the kernel does not know the call: read an entry for each page, some 10 ms a GiB. The page of zeros then counts as one there is.</param>
    public bool ForEachPresent(ulong hostAddress, ulong length, Func<ulong, ulong, bool, bool> work, bool byEntries = false)
    {
        if ((hostAddress & Page.OffsetMask) != 0 || !IsAnonymous(hostAddress, length))
            return false;
        if (Volatile.Read(ref _unable) != 0)
            return byEntries && ForEachEntry(hostAddress, length, work);
        Span<PageStretch> found = stackalloc PageStretch[Most];
        var end = hostAddress + length;
        for (var at = hostAddress; at < end;)
        {
            var from = at;
            var count = _scan.Next(ref at, end, PageScan.IsPresent | PageScan.IsSwapped, found, without: PageScan.IsZeroPage, told: PageScan.IsHuge);
            if (count < 0)
            {
                Volatile.Write(ref _unable, 1);
                if (byEntries)
                    return ForEachEntry(from, end - from, work);
                // The rest as if it were all there.
                _ = work(from, end - from, false);
                return true;
            }
            for (var i = 0; i < count; i++)
            {
                if (!work(found[i].Start, Math.Min(found[i].End, end) - found[i].Start, (found[i].Categories & PageScan.IsHuge) != 0))
                    return true;
            }
        }
        return true;
    }

    private bool ForEachEntry(ulong hostAddress, ulong length, Func<ulong, ulong, bool, bool> work)
    {
        Span<ulong> entries = stackalloc ulong[MostEntries];
        var end = hostAddress + length;
        var first = end;
        for (var at = hostAddress; at < end;)
        {
            var asked = entries[..(int)Math.Min(MostEntries, (end - at + Page.OffsetMask) >> Page.Shift)];
            if (!_scan.ReadEntries(at, asked))
                return false;
            foreach (var entry in asked)
            {
                if ((entry & (PageScan.EntryPresent | PageScan.EntrySwapped)) != 0)
                    first = Math.Min(first, at);
                else if (first < at && !work(first, at - first, false))
                    return true;
                else
                    first = end;
                at += Page.Size;
            }
        }
        if (first < end)
            _ = work(first, end - first, false);
        return true;
    }

    private bool IsAnonymous(ulong start, ulong length)
    {
        foreach (var span in _anonymous)
        {
            if (start >= span.Start && start < span.End && length <= span.End - start)
                return true;
        }
        return false;
    }

    public void Dispose() => _scan.Dispose();
}
