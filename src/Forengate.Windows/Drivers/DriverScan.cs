using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// Looks for drivers' list entries in all of memory, by their shape: a page-aligned base in the kernel's half where <c>DllBase</c> lies, then size, entry point, links and
/// names that fit. The pool tag before an entry (<c>MmLd</c>) is not asked for: newer pools and boot-loaded drivers may lack it.
/// </summary>
internal sealed class DriverScan
{
    /// <summary>Bits of <c>DllBase</c> that tell a page-aligned address of the kernel's half (48 bits).</summary>
    private const ulong BaseMask = 0xFFFF_8000_0000_0FFF;
    private const ulong BasePattern = 0xFFFF_8000_0000_0000;
    private const int Alignment = 16;

    private readonly WindowsSystem _system;
    private readonly DriverLayout _layout;
    private readonly CancellationToken _ct;
    private readonly Lock _lock = new();
    private readonly List<(PhysicalAddress At, byte[] Bytes)> _hits = [];

    public DriverScan(WindowsSystem system, CancellationToken ct)
    {
        _system = system;
        _layout = system.Layouts.Driver;
        _ct = ct;
    }

    public Listing<Driver> Run(IProgress<double>? progress)
    {
        var warnings = new WarningList(_system.Limits.Warnings);
        var (listed, torn) = DriverList.Settled(_system, warnings, _ct);
        var listedAt = listed.Select(static driver => driver.Address).ToHashSet();
        var known = new Dictionary<PhysicalAddress, VirtualAddress>();
        foreach (var driver in listed)
        {
            if (_system.Kernel.Translate(driver.Address) is { Ok: true } translation)
                known[translation.Address] = driver.Address;
        }

        PageScan.Run(_system.View.Memory, Visit, _ct, progress);
        _hits.Sort(static (left, right) => left.At.CompareTo(right.At));
        FindAddresses(known);

        var reader = new DriverReader(_system.Kernel, _layout);
        var found = new Dictionary<VirtualAddress, Driver>();
        var unmapped = 0;
        foreach (var (at, _) in _hits)
        {
            _ct.ThrowIfCancellationRequested();
            if (!known.TryGetValue(at, out var entry))
                unmapped++;
            else if (!found.ContainsKey(entry) && reader.TryRead(entry, out var bytes) && DriverReader.IsSane(bytes, _layout, _system.Levels))
            {
                var driver = reader.Describe(entry, bytes, FoundBy.Scan, listedAt.Contains(entry));
                if (driver.Name.Length > 0)
                    found.Add(entry, driver);
            }
        }
        if (_system.View.Memory.MayChange)
        {
            // What was loaded while memory was scanned is not hidden.
            var (after, again) = DriverList.Settled(_system, warnings, _ct);
            torn += again;
            foreach (var driver in after.Where(driver => found.TryGetValue(driver.Address, out var seen) && !seen.IsListed))
                found[driver.Address] = found[driver.Address] with { IsListed = true };
        }
        if (unmapped > 0)
            warnings.Add($"scan: {unmapped} places look like a driver's list entry, but the kernel maps them nowhere (remains of an earlier boot, or another system's memory)");
        var missed = listedAt.Count(address => !found.ContainsKey(address));
        if (missed > 0)
            warnings.Add($"scan: {missed} listed drivers do not have the shape of an entry: look at them by the list");
        if (found.Count == 0)
            warnings.Add("scan: nothing in memory has the shape of a driver's list entry");
        return new Listing<Driver>([.. found.Values.OrderBy(static driver => driver.Base)], warnings.ToList()) { Torn = torn };
    }

    private void Visit(PhysicalAddress start, ReadOnlySpan<byte> bytes)
    {
        List<(PhysicalAddress, byte[])>? hits = null;
        var lead = _layout.DllBase;
        for (var offset = AlignedPattern.IndexOf(bytes, lead, BasePattern, BaseMask); offset >= 0; offset = AlignedPattern.IndexOf(bytes, offset + Alignment, BasePattern, BaseMask))
        {
            // An entry is smaller than a page and pool blocks of that size do not cross one.
            var entry = offset - lead;
            if (entry < 0 || entry + _layout.Length > bytes.Length)
                continue;
            var candidate = bytes.Slice(entry, _layout.Length);
            if (DriverReader.IsSane(candidate, _layout, _system.Levels))
                (hits ??= []).Add((start + (ulong)entry, candidate.ToArray()));
        }
        if (hits is null)
            return;
        lock (_lock)
        {
            if (_hits.Count < _system.Limits.Drivers * 4)
                _hits.AddRange(hits);
        }
    }

    /// <summary>Virtual addresses of the hits: what a neighbour's link says, and for entries nothing links to a walk over the kernel's mappings.</summary>
    private void FindAddresses(Dictionary<PhysicalAddress, VirtualAddress> known)
    {
        var left = new Dictionary<ulong, List<PhysicalAddress>>();
        foreach (var (at, bytes) in _hits)
        {
            if (known.ContainsKey(at))
                continue;
            var links = LinkedListWalk.From(bytes.AsSpan(_layout.InLoadOrderLinks));
            if (LinkedListWalk.TryReadLinks(_system.Kernel, links.Flink, out var next) && Leads(next.Blink - (ulong)_layout.InLoadOrderLinks, at))
                known[at] = next.Blink - (ulong)_layout.InLoadOrderLinks;
            else if (LinkedListWalk.TryReadLinks(_system.Kernel, links.Blink, out var last) && Leads(last.Flink - (ulong)_layout.InLoadOrderLinks, at))
                known[at] = last.Flink - (ulong)_layout.InLoadOrderLinks;
            else
                (left.TryGetValue(at.Frame, out var list) ? list : left[at.Frame] = []).Add(at);
        }
        if (left.Count == 0)
            return;
        foreach (var mapping in KernelMappings.Of(_system.Kernel, new SearchBudget(_system.Limits), _ct))
        {
            if (mapping.Size == Page.Size)
            {
                if (left.Remove(mapping.Physical.Frame, out var hits))
                    Take(hits, mapping.Address, mapping.Physical);
            }
            else
            {
                foreach (var frame in left.Keys.Where(frame => PhysicalAddress.FromFrame(frame) - mapping.Physical < mapping.Size).ToList())
                {
                    left.Remove(frame, out var hits);
                    Take(hits!, mapping.Address, mapping.Physical);
                }
            }
            if (left.Count == 0)
                return;
        }

        void Take(List<PhysicalAddress> hits, VirtualAddress address, PhysicalAddress page)
        {
            foreach (var hit in hits)
                known[hit] = address + (hit - page);
        }
    }

    private bool Leads(VirtualAddress address, PhysicalAddress to) =>
        address.PageOffset == to.PageOffset && KernelPointers.IsObject(address, _system.Levels)
        && _system.Kernel.Translate(address) is { Ok: true } translation && translation.Address == to;
}
