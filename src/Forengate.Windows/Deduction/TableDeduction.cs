using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Finds where a process keeps its page tables: a value that leads to a table which shows the same kernel.</summary>
internal sealed class TableDeduction(ProcessCensus census, PhysicalMemory memory, KernelImage image, DebuggerData? debugger, DeductionLedger ledger)
{
    /// <summary>Bits a stored table base may have beside the address: PCID and flags below, nothing above but bit 63.</summary>
    private const ulong NoBits = ~(PageTableEntry.AddressMask | 0xFFF | (1UL << 63));

    /// <summary>The most processes whose tables are walked for each candidate.</summary>
    private const int MaxWalked = 128;

    /// <summary>KUSER_SHARED_DATA in the user's half (ntddk.h: SharedUserData).</summary>
    private static readonly VirtualAddress s_userShared = new(0x7FFE_0000);

    public void FindKernelTable()
    {
        var alive = census.Samples.Where(static sample => !sample.HasEnded).Take(MaxWalked).ToList();
        var fits = census.Qwords
            .Where(offset => ProcessCensus.NearlyAll(alive, sample => IsTableBase(sample.Qword(offset))))
            .Where(offset => ProcessCensus.NearlyAll(alive, sample => IsTableBase(sample.Qword(offset)) && ShowsKernel(SpaceOf(sample.Qword(offset)), sample.Address)))
            // One table each, but for processes of the system, which may run on its own.
            .Where(offset => alive.Select(sample => KernelPointers.TableBase(sample.Qword(offset))).Distinct().Count() * 2 > alive.Count)
            .ToList();
        var what = $"a page table in each of {alive.Count} running processes that maps the kernel and the process itself as System's does";
        if (ledger.Choose(KernelField.KPROCESS_DirectoryTableBase, fits, debugger?.Word(DebuggerDataField.OffsetEprocessDirectoryTableBase), what) is not { } found)
            return;
        foreach (var sample in census.Samples)
        {
            if (!sample.HasEnded && IsTableBase(sample.Qword(found)))
                sample.Space = SpaceOf(sample.Qword(found));
        }
    }

    /// <summary>With KVA shadow: the table of user mode maps the process's own half as the other does, and not the kernel.</summary>
    public void FindUserTable()
    {
        if (ledger.OffsetOf(KernelField.KPROCESS_DirectoryTableBase) is not { } kernelTable)
            return;
        var users = census.Samples.Where(static sample => sample is { Peb: not null, Space: not null }).Take(MaxWalked).ToList();
        if (users.Count < 2)
        {
            ledger.Refuse(KernelField.KPROCESS_UserDirectoryTableBase, $"{users.Count} processes with a PEB to see it by");
            return;
        }
        bool IsUserTable(ProcessSample sample, int offset)
        {
            var value = sample.Qword(offset);
            if (!IsTableBase(value) || KernelPointers.TableBase(value) == KernelPointers.TableBase(sample.Qword(kernelTable)))
                return false;
            var space = SpaceOf(value);
            return Same(space, sample.Space!, sample.Peb!.Value) && Same(space, sample.Space!, s_userShared) && !space.Translate(image.Base).Ok;
        }
        var fits = census.Qwords.Where(offset => offset != kernelTable && ProcessCensus.NearlyAll(users, sample => IsUserTable(sample, offset))).ToList();
        ledger.Choose(
            KernelField.KPROCESS_UserDirectoryTableBase, fits, null,
            $"a second page table in each of {users.Count} processes that maps its PEB and shared page but not the kernel (there is none where KVA shadow is off)");
    }

    private WindowsAddressSpace SpaceOf(ulong value) => new(memory, KernelPointers.TableBase(value), census.Space.Levels);

    private bool IsTableBase(ulong value)
    {
        var table = KernelPointers.TableBase(value);
        return (value & NoBits) == 0 && table != 0 && table < memory.End.Value && memory.StateOf(new PhysicalAddress(table)) is not PageState.Missing;
    }

    private bool ShowsKernel(AddressSpace space, VirtualAddress process) => Same(space, census.Space, image.Base) && Same(space, census.Space, process) && Same(space, census.Space, SharedUserDataReader.Address);

    private static bool Same(AddressSpace one, AddressSpace other, VirtualAddress address) =>
        one.Translate(address) is { Ok: true } here && other.Translate(address) is { Ok: true } there && here.Address == there.Address;
}
