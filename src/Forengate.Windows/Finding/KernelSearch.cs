using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Looks for the kernel on every way there is, the fastest first, and remembers what each gave.</summary>
internal sealed class KernelSearch(View view, ProfileStore profiles, WindowsLimits limits, CancellationToken ct)
{
    /// <summary>Deductions tried in one search, each through another page table.</summary>
    private const int MaxDeductions = 8;

    private readonly SearchBudget _budget = new(limits);
    private readonly List<Fact> _tried = [];
    private readonly List<string> _rejected = [];
    private readonly HashSet<(ulong Table, int Levels)> _tables = [];
    private MemorySearch? _search;
    private KernelCandidate? _withoutProfile;
    private string? _profilesSearched;
    private string? _deductionFailed;
    private readonly HashSet<(VirtualAddress Base, PhysicalAddress Table)> _deduced = [];
    private string? _openingFailed;
    private (WindowsSystem System, KernelOpening.Standing Standing)? _best;

    public WindowsSearch Run()
    {
        if (view.Memory.Ranges.Count == 0)
            return new WindowsSearch(null, [], "the view holds no memory at all: nothing to look for Windows in");

        if (view.Origin.Architecture == GuestArchitecture.Arm64)
            return new WindowsSearch(null, [], "ARM64 Windows: only the kernels of x64 and x86 are read so far, so nothing was looked for in this memory");
        if (view.Origin.Architecture == GuestArchitecture.X86 || (view.Cpus.Count > 0 && view.Cpus.All(static cpu => cpu.PagingLevels is 2 or 3)))
            return new X86Search(view, profiles, limits, ct).Run();

        // A kernel that the CPUs run is the one that counts, with a profile or without: others in memory would be remains.
        if (ByRegisters() || (_withoutProfile is null && (ByLowStub() || BySearch())))
            return new WindowsSearch(_best!.Value.System, _best.Value.System.KernelFacts, null);
        if (_withoutProfile is not null || !MayBe32Bit)
            return Failure();
        var search = new X86Search(view, profiles, limits, ct).Run();
        return search.X86 is not null ? search : Failure(search);
    }

    /// <summary>No 64-bit kernel was found, and something speaks of a 32-bit one.</summary>
    private bool MayBe32Bit => X86Search.IsLikely(view.Cpus) || _search is { Records.Count: > 0 };

    private bool ByRegisters()
    {
        if (view.Cpus.Count == 0)
        {
            _tried.Add(new Fact("kernel by registers", null, "the view has no registers"));
            return false;
        }
        var tables = RegisterHints.Tables(view.Cpus)
            .Concat(RegisterHints.ShadowedTables(view.Memory, view.Cpus, KernelLayouts.ShadowedTableOffsets(profiles)));
        var count = 0;
        foreach (var table in tables)
        {
            if (++count > limits.DirectoryTableBases)
                break;
            if (TryTable(table.Base, table.Levels, table.How, space => FromCode(space, view.Cpus)))
                return true;
        }
        if (count == 0)
            _tried.Add(new Fact("kernel by registers", null, $"CR3 is unknown on all {view.Cpus.Count} vCPUs"));
        return false;
    }

    private bool ByLowStub()
    {
        var stubs = LowStub.Find(view.Memory);
        foreach (var stub in stubs)
        {
            if (TryTable(
                stub.DirectoryTableBase, null, $"CR3 in the processor start block at {stub.Page}",
                space => new KernelImageFinder(space, limits, _budget).FindBelow(stub.KernelEntry, ct) is { } image
                    ? (image, $"below the kernel entry {stub.KernelEntry} of the processor start block at {stub.Page}")
                    : null))
                return true;
        }
        if (stubs.Count == 0)
            _tried.Add(new Fact("processor start block", null, "no such page below 0xa0000"));
        return false;
    }

    private bool BySearch()
    {
        var search = _search = MemorySearch.Run(view.Memory, limits, ct);
        var records = search.Records;
        _tried.Add(new Fact(
            "search", null,
            $"{search.Pages:#,0} pages: {search.Tables.Count} that refer to themselves as a top page table does, {records.Count} CodeView records of kernels"));

        // All processes share the kernel's half: one of each group of tables with the same entry for the kernel's images is enough, unless it leads nowhere.
        foreach (var table in OnePerKernel(search.Tables))
        {
            TryTable(table.Value, null, $"self-referring page table at {table}", space => FromRecords(space, records), keepLooking: true);
            if (_best is null)
                TryTable(table.Value, null, $"self-referring page table at {table}", FromHeaders, keepLooking: true, again: true);
        }
        return _best is not null;
    }

    /// <summary>Follows one table: valid, leads to a kernel, kernel has a profile, the profile's globals confirm it.</summary>
    private bool TryTable(
        ulong table, int? levels, string how, Func<AddressSpace, (KernelImage Image, string How)?> find, bool keepLooking = false, bool again = false)
    {
        foreach (var depth in levels is { } known ? [known] : new[] { 4, 5 })
        {
            ct.ThrowIfCancellationRequested();
            if (!_tables.Add((table, depth)) && !again)
                continue;
            var space = new WindowsAddressSpace(view.Memory, table, depth);
            if (SharedPageCheck.Judge(space) is { } complaint)
            {
                _tried.Add(new Fact("directory table base", null, $"0x{table:x} ({how}): {complaint}"));
                continue;
            }
            if (find(space) is not { } found)
            {
                _tried.Add(new Fact("kernel image", null, $"through 0x{table:x} ({how}): no image of a kernel where it was looked for"));
                continue;
            }
            if (Judge(new KernelCandidate(space, found.Image, how, levels is null ? "CR4 is not known: the number under which the kernel is found" : "CR4.LA57", found.How)) && !keepLooking)
                return true;
        }
        return false;
    }

    private bool Judge(KernelCandidate candidate)
    {
        if (profiles.Find(candidate.Image.CodeView, out var searched) is not { } profile)
        {
            _profilesSearched = searched;
            return Deduce(candidate);
        }
        var (system, standing, reason) = KernelOpening.Open(view, candidate, profile, limits, ct);
        // A profile that does not fit this memory is not used where the memory itself tells better.
        if (system is not { Proof.Holds: true } && Deduce(candidate, profile, system?.Proof.Failed))
            return true;
        if (system is null)
        {
            _openingFailed ??= reason;
            _tried.Add(new Fact("kernel", null, $"{candidate.Image.CodeView} at {candidate.Image.Base} through {candidate.TableHow}: {reason}"));
            return false;
        }
        if (_best is not { } best || standing.CompareTo(best.Standing) > 0)
            _best = (system, standing);
        return true;
    }

    /// <summary>A kernel no profile knows, or whose profile does not fit: its own memory is asked, once for each image and page table.</summary>
    private bool Deduce(KernelCandidate candidate, KernelProfile? unfit = null, int? failed = null)
    {
        if (!_deduced.Add((candidate.Image.Base, candidate.Space.DirectoryTableBase)) || _deduced.Count > MaxDeductions)
            return false;
        var deduced = KernelDeduction.Run(view.Memory, candidate, profiles, limits, out var reason, ct);
        if (deduced is not null)
        {
            var (system, standing, refused) = KernelOpening.Open(view, candidate, unfit is null ? deduced : deduced with { Unfit = unfit }, limits, ct);
            if (system is not null && (failed is null || system.Proof.Failed < failed))
            {
                if (_best is not { } best || standing.CompareTo(best.Standing) > 0)
                    _best = (system, standing);
                return true;
            }
            reason = refused ?? "what was deduced fits no better";
        }
        if (unfit is not null)
            return false;
        _withoutProfile ??= candidate;
        _deductionFailed ??= reason;
        return false;
    }

    private (KernelImage, string)? FromCode(AddressSpace space, IReadOnlyList<CpuState> cpus)
    {
        var finder = new KernelImageFinder(space, limits, _budget);
        foreach (var hint in RegisterHints.CodeAddresses(space, cpus))
        {
            if (finder.FindBelow(hint.Address, ct) is { } image)
                return (image, $"PE header found page by page below {hint.Address} ({hint.How})");
        }
        _rejected.AddRange(finder.Rejected);
        return null;
    }

    private (KernelImage, string)? FromRecords(AddressSpace space, List<MemorySearch.Record> records)
    {
        if (records.Count == 0)
            return null;
        var finder = new KernelImageFinder(space, limits, _budget);
        foreach (var mapping in KernelMappings.Of(space, _budget, ct))
        {
            foreach (var record in records)
            {
                var address = mapping.Address + (record.At - mapping.Physical);
                if (record.At - mapping.Physical < mapping.Size && finder.FindBelow(address, ct) is { } image && image.CodeView == record.CodeView)
                    return (image, $"CodeView record at physical {record.At}, mapped at {address}, PE header below it");
            }
        }
        _rejected.AddRange(finder.Rejected);
        return null;
    }

    private (KernelImage, string)? FromHeaders(AddressSpace space)
    {
        var finder = new KernelImageFinder(space, limits, _budget);
        foreach (var mapping in KernelMappings.Of(space, _budget, ct))
        {
            for (var offset = 0UL; offset < mapping.Size; offset += Page.Size)
            {
                if (view.Memory.TryRead(mapping.Physical + offset, out ushort magic) && magic == LoadedImage.Mz
                    && finder.TryReadKernel(mapping.Address + offset) is { } image)
                    return (image, $"PE header met at {mapping.Address + offset} while walking all kernel mappings");
            }
        }
        _rejected.AddRange(finder.Rejected);
        return null;
    }

    private IEnumerable<PhysicalAddress> OnePerKernel(List<PhysicalAddress> tables)
    {
        const int imageSlot = 0x1F0 * sizeof(ulong);
        var seen = new HashSet<ulong>();
        var later = new List<PhysicalAddress>();
        var count = 0;
        foreach (var table in tables)
        {
            view.Memory.TryRead(table + imageSlot, out ulong entry);
            if (!seen.Add(entry & PageTableEntry.AddressMask))
            {
                later.Add(table);
                continue;
            }
            if (++count > limits.DirectoryTableBases)
                yield break;
            yield return table;
        }
        foreach (var table in later)
        {
            if (_best is not null || _withoutProfile is not null || ++count > limits.DirectoryTableBases)
                yield break;
            yield return table;
        }
    }

    private WindowsSearch Failure(WindowsSearch? x86 = null)
    {
        var facts = new List<Fact>();
        if (_withoutProfile is { } seen)
        {
            var version = FileVersion.Read(seen.Space, seen.Image, ct);
            facts.Add(new Fact("directory table base", $"0x{seen.Space.DirectoryTableBase.Value:x}", seen.TableHow));
            facts.Add(new Fact("kernel base", seen.Image.Base.ToString(), seen.ImageHow));
            facts.Add(new Fact("kernel symbols", seen.Image.CodeView.ToString(), "the CodeView record its debug directory names"));
            facts.Add(new Fact("kernel file version", version, version is null ? "its version resource is not in memory" : "its version resource"));
            facts.Add(new Fact("profile", null, $"none for it in: {_profilesSearched}"));
            facts.Add(new Fact("deduced profile", null, _deductionFailed ?? "not tried"));
            facts.AddRange(_tried);
            return new WindowsSearch(
                null, facts,
                $"a Windows kernel{(version is null ? "" : $" {version}")} is at {seen.Image.Base}, but no profile knows {seen.Image.CodeView}, and its layout could not be deduced ({_deductionFailed}): give its symbols with --symbols");
        }

        facts.AddRange(_tried);
        facts.AddRange(_rejected.Distinct().Take(limits.Warnings).Select(static line => new Fact("kernel image", null, line)));
        if (_openingFailed is not null)
            return new WindowsSearch(null, facts, $"a Windows kernel is there, but not all that it needs: {_openingFailed}; is memory missing from the image?");
        if (x86 is not null)
            facts.AddRange(x86.Facts);
        if (_rejected.Count > 0)
            return new WindowsSearch(null, facts, $"the Windows here is not for x64: {_rejected[0]}" + (x86 is null ? "" : $"; {x86.Reason}"));
        if (_search is { LooksEncrypted: true })
            return new WindowsSearch(null, facts, "no Windows kernel: nearly all of memory looks random, as in an encrypted guest (SEV, TDX); capture it from inside the guest");
        if (_search is { Records: [var record, ..] })
        {
            return new WindowsSearch(
                null, facts,
                KernelPdbNames.IsX86Only(record.CodeView.Name)
                    ? x86?.Reason ?? $"the Windows here is a 32-bit one ({record.CodeView} at physical {record.At}), but no page table of a 32-bit system leads to it"
                    : $"a kernel's CodeView record ({record.CodeView}) lies at physical {record.At}, but no page table leads to it: is the image whole, are its ranges right?");
        }
        if (_search is { Pages: 0 })
            return new WindowsSearch(null, facts, "no Windows kernel: no page of this memory holds anything but zeros; is it the right image, and whole?");
        return new WindowsSearch(
            null, facts,
            $"no Windows kernel in this memory: {view.Cpus.Count} vCPUs' registers, the start block below 640 KiB and a search over {_search?.Pages ?? 0:#,0} pages led to none; is it a Windows guest, and the image whole?");
    }
}
