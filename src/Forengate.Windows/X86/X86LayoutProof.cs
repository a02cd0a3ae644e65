using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// A layout held against memory before anything is read with it: the System process must look like one, its list must close over processes that all look like processes, and the threads of each
/// must lead back to it. One thing wrong refuses the layout.
/// </summary>
/// <param name="space">Through the table by which the kernel was found.</param>
/// <param name="image">The kernel.</param>
/// <param name="layout">What is to be proved.</param>
/// <param name="isOwn">True for the layout of the kernel's own build.</param>
/// <param name="limits">Bounds of lists.</param>
internal sealed class X86LayoutProof(AddressSpace space, KernelImage image, X86Layout layout, bool isOwn, WindowsLimits limits)
{
    private const uint SystemId = 4;

    /// <summary>Processes looked at one by one: as good as all, in bounded time.</summary>
    private const int MaxProcesses = 64;

    /// <summary>Windows gives processes numbers that are multiples of four, and far from this one.</summary>
    private const uint MaxId = 1 << 26;

    /// <summary>Process times before Windows XP was sold or after 2200 are none, in 100 ns since 1601.</summary>
    private static readonly ulong s_earliest = (ulong)new DateTime(2001, 1, 1, 0, 0, 0, DateTimeKind.Utc).ToFileTimeUtc(), s_latest = (ulong)new DateTime(2200, 1, 1, 0, 0, 0, DateTimeKind.Utc).ToFileTimeUtc();

    /// <summary>How many processes and threads confirmed the layout.</summary>
    public (int Processes, int Threads) Confirmed { get; private set; }

    /// <summary>Where the list does not close, though the layout fits all there is of it; null where it closes.</summary>
    public string? Torn { get; private set; }

    /// <summary>Head of the list of active processes, once <see cref="Refusal"/> has found nothing.</summary>
    public VirtualAddress Head { get; private set; }

    /// <summary>Guest-physical address of System's page table, likewise.</summary>
    public ulong DirectoryTableBase { get; private set; }

    /// <summary>Why the layout does not fit, or null.</summary>
    /// <param name="system">EPROCESS of System.</param>
    /// <param name="head"><c>PsActiveProcessHead</c> as KDBG has it; null where there is none.</param>
    /// <param name="ct">Ends it.</param>
    public string? Refusal(VirtualAddress system, VirtualAddress? head, CancellationToken ct)
    {
        var bytes = new byte[layout.ProcessLength];
        if (!space.TryRead(system, bytes))
            return $"System's EPROCESS at {system} is not in memory";
        if ((bytes[X86Layout.ObjectType] & 0x7F) != X86Layout.ProcessObject || Dword(bytes, layout.ProcessId) != SystemId)
            return $"what lies at {system} is not the System process (type {bytes[X86Layout.ObjectType]}, PID {Dword(bytes, layout.ProcessId)})";
        var name = UnicodeString.Ascii(bytes.AsSpan(layout.ImageFileName, X86Layout.ImageFileNameLength));
        if (name != "System")
            return $"the process at {system} calls itself '{name}', not System";
        if (Dword(bytes, layout.ParentId) != 0 || Dword(bytes, layout.Peb) != 0)
            return "System has a parent or a PEB";
        DirectoryTableBase = X86Pointers.TableBase(Dword(bytes, layout.DirectoryTableBase), space.Levels);
        if (MapsOtherKernel(DirectoryTableBase))
            return $"System's page table 0x{DirectoryTableBase:x} does not map the kernel at {image.Base}";

        // System is the first process ever made: what lies before it is the list's head, in the kernel's own data.
        Head = new VirtualAddress(Dword(bytes, layout.ProcessLinks + sizeof(uint)));
        if (!image.Contains(Head) || (head is { } known && known != Head))
            return head is null ? $"System's list entry points back to {Head}, outside of the kernel" : $"System's list entry points back to {Head}, PsActiveProcessHead is {head}";
        return Processes(ct);
    }

    private string? Processes(CancellationToken ct)
    {
        var warnings = new WarningList(1);
        string? refusal = null;
        var threads = 0;
        var bytes = new byte[layout.ProcessLength];
        var count = 0;
        var all = LinkedListWalk.Follow(
            space, Head, limits.Processes,
            (VirtualAddress at, out LinkedListWalk.Links links, out bool item) =>
            {
                item = true;
                if (!LinkedListWalk.TryReadLinks(space, at, out links))
                    return false;
                if (refusal is null && count++ < MaxProcesses && space.TryRead(at - (ulong)layout.ProcessLinks, bytes))
                    refusal = Process(at - (ulong)layout.ProcessLinks, bytes, ref threads);
                return true;
            },
            ProcessList.ListName, warnings, ct);
        Confirmed = (all.Count, threads);
        Torn = warnings.Count > 0 ? warnings.ToList()[0] : null;

        // Memory that is missing or was written meanwhile tears a list; only of a layout that is a guess it would be the layout's fault.
        return refusal ?? (isOwn && all.Count > 1 ? null : Torn);
    }

    /// <summary>Why what begins at an address is no process by this layout, or null.</summary>
    public string? Misfit(VirtualAddress at, byte[] bytes)
    {
        var threads = 0;
        return Process(at, bytes, ref threads);
    }

    private string? Process(VirtualAddress at, byte[] bytes, ref int threads)
    {
        var (id, parent, created, peb) = (Dword(bytes, layout.ProcessId), Dword(bytes, layout.ParentId), BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(layout.CreateTime)), Dword(bytes, layout.Peb));
        if ((bytes[X86Layout.ObjectType] & 0x7F) != X86Layout.ProcessObject)
            return $"the list leads to {at}, which is no process (type {bytes[X86Layout.ObjectType]})";
        if (id % 4 != 0 || id > MaxId || parent % 4 != 0 || parent > MaxId)
            return $"the process at {at} would have the numbers {id} and {parent}";
        if (bytes[layout.ImageFileName] < ' ')
            return $"the process {id} at {at} has no name where one should be";
        if (created != 0 && (created < s_earliest || created > s_latest))
            return $"the process {id} at {at} would have been made at {WindowsTime.Show(created)}";
        if (peb != 0 && (peb % Page.Size != 0 || X86Pointers.IsKernel(peb) && peb >= image.Base.Value))
            return $"the process {id} at {at} has a PEB at 0x{peb:x}";
        return Threads(at, id, bytes, ref threads);
    }

    /// <summary>The first thread belongs to the process and its links lead back.</summary>
    private string? Threads(VirtualAddress process, uint id, byte[] bytes, ref int threads)
    {
        var active = Dword(bytes, layout.ActiveThreads);
        var head = process + (ulong)layout.ThreadListHead;
        var first = new VirtualAddress(Dword(bytes, layout.ThreadListHead));
        if (first == head)
            return active == 0 ? null : $"the process {id} says to have {active} threads, its list has none";
        if (!LinkedListWalk.TryReadLinks(space, first, out var links))
            return KernelPointers.IsObject(first, space.Levels) ? null : $"the thread list of process {id} begins at {first}";
        if (links.Blink != head)
            return $"the first thread of process {id} points back to {links.Blink}, not to its head {head}";
        if (active > (uint)limits.ThreadsPerProcess)
            return $"the process {id} says to have {active} threads";
        if (space.TryRead(first - (ulong)layout.ThreadListEntry + (ulong)layout.ThreadProcess, out uint owner) && owner != process.Value && !IsProcess(owner))
            return $"the first thread of process {id} runs in 0x{owner:x}, which is no process";
        threads++;
        return null;
    }

    /// <summary>A thread of one process may be attached to another.</summary>
    private bool IsProcess(uint at) => X86Pointers.IsObject(at) && space.TryRead(new VirtualAddress(at), out byte type) && (type & 0x7F) == X86Layout.ProcessObject;

    private bool MapsOtherKernel(ulong table)
    {
        if (table == 0 || table >= space.Memory.End.Value)
            return true;
        var (here, there) = (space.Translate(image.Base), new WindowsAddressSpace(space.Memory, table, space.Levels).Translate(image.Base));
        return !there.Ok || here.Address != there.Address;
    }

    private static uint Dword(byte[] bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(offset));
}
