using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Looks for EPROCESS structures in all of memory.</summary>
internal sealed class ProcessScan
{
    /// <summary>Pool and kernel data align processes at least so.</summary>
    private const int Alignment = 16;

    /// <summary>Type in byte 0 (its bit 7 is a lock) and size in byte 2 of a dispatcher header; what is between and behind changes while a process lives.</summary>
    private const uint PatternMask = 0x00FF_007F;

    /// <summary>100 ns from 1601 to 1990: no x64 Windows has run before.</summary>
    private const ulong Earliest = 142079 * OneDay;

    private const ulong OneDay = 864_000_000_000;

    private readonly WindowsSystem _system;
    private readonly ProcessLayout _layout;
    private readonly CancellationToken _ct;
    private readonly Lock _lock = new();
    private readonly List<(PhysicalAddress At, byte[] Head)> _hits = [];
    private readonly uint _pattern;
    private readonly string _patternHow;

    /// <summary>Bytes of a hit kept: everything up to the end of the lists in the header of <c>_KPROCESS</c>.</summary>
    private readonly int _headLength;

    /// <summary>Offsets of the lists in the header of <c>_KPROCESS</c>, those that are empty in a process at rest first.</summary>
    private readonly int[] _lists;

    public ProcessScan(WindowsSystem system, CancellationToken ct)
    {
        _system = system;
        _layout = system.Layouts.Process;
        _ct = ct;
        _lists = [.. new[] { _layout.ProfileListHead, _layout.HeaderWaitListHead, _layout.KernelThreadListHead }.OfType<int>()];
        _headLength = _lists.Max() + LinkedListWalk.EntrySize;
        (_pattern, _patternHow) = system.SystemProcess is { } own && system.Kernel.TryRead(own + (ulong)_layout.HeaderType, out uint header)
            ? (header & PatternMask, "the System process's dispatcher header")
            : (3u | ((uint)((_layout.KProcessSize ?? 0) / 4 & 0xFF) << 16), "type 3 and the size of _KPROCESS in dwords");
    }

    public Listing<Process> Run(IProgress<double>? progress)
    {
        var warnings = new WarningList(_system.Limits.Warnings);
        var (listed, torn) = ProcessList.Settled(_system, warnings, _ct);
        PageScan.Run(_system.View.Memory, Visit, _ct, progress);
        _hits.Sort(static (left, right) => left.At.CompareTo(right.At));

        var listedAt = listed.Select(static process => process.Address).ToHashSet();
        var reader = new ProcessReader(_system.Kernel, _layout);
        var found = new Dictionary<VirtualAddress, Process>();
        var unmapped = 0;
        foreach (var (at, head) in _hits)
        {
            _ct.ThrowIfCancellationRequested();
            if (AddressOf(at, head) is not { } eprocess)
            {
                unmapped++;
                continue;
            }
            if (found.ContainsKey(eprocess) || !reader.TryRead(eprocess, out var bytes))
                continue;
            var isListed = listedAt.Contains(eprocess);
            if (isListed || IsSane(eprocess, bytes))
                found.Add(eprocess, reader.Describe(eprocess, bytes, FoundBy.Scan, isListed));
        }

        if (_system.View.Memory.MayChange)
            torn += ListAgain(found, reader, warnings);
        if (unmapped > 0)
            warnings.Add($"scan: {unmapped} places look like a process, but the kernel maps them nowhere (remains of an earlier boot, or another system's memory)");
        var missed = listedAt.Count(address => !found.ContainsKey(address));
        if (missed > 0)
            warnings.Add($"scan: {missed} listed processes do not bear the pattern ({_patternHow}): look at them by the list");
        if (found.Count == 0)
            warnings.Add($"scan: nothing in memory bears {_patternHow} and passes");
        return new Listing<Process>([.. found.Values.OrderBy(static process => process.Id).ThenBy(static process => process.CreateTime)], warnings.ToList()) { Torn = torn };
    }

    /// <summary>
    /// A process that came into the list while memory was scanned is not hidden, nor is one that ended meanwhile: only what is in the list neither before nor after, and lives even then, is.
    /// </summary>
    private TornReads ListAgain(Dictionary<VirtualAddress, Process> found, ProcessReader reader, WarningList warnings)
    {
        var (listed, torn) = ProcessList.Settled(_system, warnings, _ct);
        var listedAt = listed.Select(static process => process.Address).ToHashSet();
        foreach (var process in found.Values.Where(static process => !process.IsListed).ToArray())
        {
            if (reader.TryRead(process.Address, out var bytes))
                found[process.Address] = reader.Describe(process.Address, bytes, FoundBy.Scan, listedAt.Contains(process.Address));
        }
        return torn;
    }

    private void Visit(PhysicalAddress start, ReadOnlySpan<byte> bytes)
    {
        List<(PhysicalAddress, byte[])>? hits = null;
        for (var offset = AlignedPattern.IndexOf(bytes, 0, _pattern, PatternMask); offset >= 0; offset = AlignedPattern.IndexOf(bytes, offset + Alignment, _pattern, PatternMask))
        {
            if (offset + _headLength <= bytes.Length)
            {
                var head = bytes.Slice(offset, _headLength);
                if (HasListHeads(head))
                    (hits ??= []).Add((start + (ulong)offset, head.ToArray()));
                continue;
            }
            var behind = new byte[_headLength];
            if (_system.View.Memory.TryRead(start + (ulong)offset, behind) && HasListHeads(behind))
                (hits ??= []).Add((start + (ulong)offset, behind));
        }
        if (hits is null)
            return;
        lock (_lock)
        {
            if (_hits.Count < _system.Limits.Processes * 4)
                _hits.AddRange(hits);
        }
    }

    private bool HasListHeads(ReadOnlySpan<byte> head)
    {
        foreach (var list in _lists)
        {
            if (!IsListHead(head[list..]))
                return false;
        }
        return true;
    }

    private bool IsListHead(ReadOnlySpan<byte> bytes)
    {
        var links = LinkedListWalk.From(bytes);
        return KernelPointers.IsObject(links.Flink, _system.Levels) && KernelPointers.IsObject(links.Blink, _system.Levels);
    }

    /// <summary>The virtual address of a hit: an empty list in its header points to itself, a thread of it points back.</summary>
    private VirtualAddress? AddressOf(PhysicalAddress at, ReadOnlySpan<byte> head)
    {
        foreach (var list in _lists)
        {
            var links = LinkedListWalk.From(head[list..]);
            if (links.Flink == links.Blink && Leads(links.Flink - (ulong)list, at))
                return links.Flink - (ulong)list;
        }
        if (_layout.KernelThreadListHead is not { } threadList)
            return null;
        var threads = LinkedListWalk.From(head[threadList..]);
        foreach (var entry in (ReadOnlySpan<VirtualAddress>)[threads.Flink, threads.Blink])
        {
            var thread = entry - (ulong)_system.Layouts.Thread.KernelThreadListEntry;
            if (_system.Kernel.TryReadPointer(thread + (ulong)_system.Layouts.Thread.Process, out var process) && Leads(process, at))
                return process;
        }
        return null;
    }

    private bool Leads(VirtualAddress address, PhysicalAddress to) =>
        address.PageOffset == to.PageOffset && KernelPointers.IsObject(address, _system.Levels)
        && _system.Kernel.Translate(address) is { Ok: true } translation && translation.Address == to;

    private bool IsSane(VirtualAddress eprocess, ReadOnlySpan<byte> bytes)
    {
        var id = Qword(bytes, _layout.UniqueProcessId);
        var table = KernelPointers.TableBase(Qword(bytes, _layout.DirectoryTableBase));
        if (id == 0 || id > uint.MaxValue || id % 4 != 0 || table == 0
            || _system.View.Memory.StateOf(new PhysicalAddress(table)) == PageState.Missing)
            return false;

        var (created, ended) = (Qword(bytes, _layout.CreateTime), Qword(bytes, _layout.ExitTime));
        var now = _system.SharedData?.SystemTime is { } time and not 0 ? time + OneDay : ulong.MaxValue;
        if ((created != 0 && (created < Earliest || created > now)) || (ended != 0 && (ended < created || ended > now)))
            return false;

        var links = LinkedListWalk.From(bytes[_layout.ActiveProcessLinks..]);
        var linked = KernelPointers.IsObject(links.Flink, _system.Levels) && KernelPointers.IsObject(links.Blink, _system.Levels);
        var cleared = links.Flink.IsNull && links.Blink.IsNull;
        return (linked || cleared)
            && (_layout.KernelThreadListHead is not { } threads || IsWholeList(eprocess + (ulong)threads, LinkedListWalk.From(bytes[threads..])));
    }

    /// <summary>Both neighbours of a list's head point back to it.</summary>
    private bool IsWholeList(VirtualAddress head, LinkedListWalk.Links links) =>
        (links.Flink == head && links.Blink == head)
        || (LinkedListWalk.TryReadLinks(_system.Kernel, links.Flink, out var next) && next.Blink == head
            && LinkedListWalk.TryReadLinks(_system.Kernel, links.Blink, out var last) && last.Flink == head);

    private static ulong Qword(ReadOnlySpan<byte> bytes, int? offset) => offset is { } at ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]) : 0;
}
