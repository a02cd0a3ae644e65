using System.Globalization;
using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// The large pages that a guest's anonymous memory lies in. A background snapshot protects and frees each small page by itself, and for that the host splits them: the guest would run on
/// slower than before, and the next capture take longer, until khugepaged has put them together, which takes minutes to hours. So what was large is put together again at once
/// (process_madvise, MADV_COLLAPSE). No byte of the guest changes, and none is added: only what was one page becomes one again.
/// </summary>
internal sealed class LargePages
{
    private const ulong Size = 2UL << 20;

    /// <summary>Stretches asked for at once.</summary>
    private const int Most = 256;

    /// <summary>On a host that has no large pages left each try looks for one; not for ever.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(30);

    private readonly List<(ulong Start, ulong End)> _stretches = [];

    private LargePages()
    {
    }

    /// <summary>Bytes of the guest in large pages.</summary>
    public ulong Bytes { get; private set; }

    /// <summary>What is large now. Nothing, where the host can't be asked (Linux before 6.7).</summary>
    public static LargePages Of(GuestMemoryMap map, QemuProcess process)
    {
        var large = new LargePages();
        using var scan = PageScan.Of(process.Id);
        if (!scan.IsUsable)
            return large;
        List<ProcessMapping> mappings;
        try
        {
            mappings = process.ReadMappings();
        }
        catch (GuestException)
        {
            return large;
        }
        foreach (var section in map.Sections)
        {
            for (var at = section.HostAddress; at < section.HostAddress + section.Length && ProcessMap.Find(mappings, at) is { } mapping; at = mapping.End)
            {
                if (!mapping.Shared && mapping.Inode == 0)
                    large.Add(scan, at, Math.Min(mapping.End, section.HostAddress + section.Length));
            }
        }
        return large;
    }

    private void Add(PageScan scan, ulong start, ulong end)
    {
        Span<PageStretch> found = stackalloc PageStretch[Most];
        for (var at = start & ~Page.OffsetMask; at < end;)
        {
            var count = scan.Next(ref at, end, PageScan.IsHuge, found);
            if (count < 0)
                return;
            foreach (var stretch in found[..count])
            {
                var (first, last) = ((stretch.Start + Size - 1) & ~(Size - 1), Math.Min(stretch.End, end) & ~(Size - 1));
                if (first >= last)
                    continue;
                _stretches.Add((first, last));
                Bytes += last - first;
            }
        }
    }

    /// <summary>Puts together what was large. The guest runs meanwhile; who writes to a page that is being moved waits for about half a millisecond.</summary>
    /// <returns>What there is to say about it; null when there was nothing large, or all of it still is.</returns>
    public string? PutTogether(GuestMemoryMap map, QemuProcess process, CancellationToken ct)
    {
        var before = Bytes;
        if (before == 0 || Of(map, process).Bytes >= before)
            return null;
        var until = Environment.TickCount64 + (long)s_longest.TotalMilliseconds;
        var (whole, error) = (0UL, 0);
        foreach (var (start, end) in _stretches)
        {
            for (var at = start; at < end && !ct.IsCancellationRequested && Environment.TickCount64 < until; at += Size)
            {
                if (LinuxNative.AdviseProcess(process.Identity.Number, new LinuxNative.IoVector { Base = at, Length = Size }, LinuxNative.MADV_COLLAPSE) == (nint)Size)
                {
                    whole += Size;
                    continue;
                }
                error = Marshal.GetLastPInvokeError();
                if (error is LinuxNative.EPERM or LinuxNative.EINVAL or LinuxNative.ENOSYS or LinuxNative.ESRCH)
                    return Said(whole, before, error);
            }
        }
        return Said(whole, before, error);
    }

    private static string Said(ulong whole, ulong before, int error) => whole == before
        ? string.Create(CultureInfo.InvariantCulture, $"the snapshot split the large pages ({before >> 20} MiB) that the guest's memory lies in; they were put together again")
        : string.Create(CultureInfo.InvariantCulture,
            $"the snapshot split the large pages ({before >> 20} MiB) that the guest's memory lies in, and {(before - whole) >> 20} MiB could not be put together again{(error == 0 ? "" : $" ({LinuxNative.Describe(error)})")}: the host's khugepaged does it in time; with CAP_SYS_NICE Forengate does");
}
