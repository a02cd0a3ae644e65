using System.Text;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// ntoskrnl.exe in memory: headers, exports, CodeView record and globals at the build's own RVAs. Where sections begin is the twin's choice, led by symbols that are known to lie
/// in them; INIT is discarded, some paged code is out.
/// </summary>
internal sealed class KernelImage
{
    private const uint LargePage = 0x200000;
    /// <summary>Room the guest's code takes at the start of the idle loop and behind the system-call entry.</summary>
    public const uint CodeRoom = 0x400;
    /// <summary>Debug directory and CodeView record: near the start, as the linker puts them with the first constants.</summary>
    private const uint DebugDirectory = 0x1100;
    private static readonly string[] _exports =
    [
        "DbgPrint", "ExAllocatePool", "ExAllocatePoolWithTag", "ExFreePool", "ExFreePoolWithTag", "InitSafeBootMode", "IoCreateDevice", "IoDeleteDevice", "IofCompleteRequest",
        "KdDebuggerEnabled", "KdDebuggerNotPresent", "KeBugCheck", "KeBugCheckEx", "KeCapturePersistentThreadState", "KeInitializeCrashDumpHeader", "KeLoaderBlock",
        "KeNumberProcessors", "KeQueryActiveProcessors", "KeServiceDescriptorTable", "KeTickCount", "KeWaitForSingleObject", "MmGetPhysicalAddress",
        "MmGetPhysicalMemoryRanges", "MmHighestUserAddress", "MmMapIoSpace", "MmSystemRangeStart", "MmUserProbeAddress", "NtBuildGUID", "NtBuildLab", "NtBuildNumber", "NtClose", "NtCreateFile",
        "NtGlobalFlag", "ObReferenceObjectByHandle", "ObfDereferenceObject", "PsGetCurrentProcess", "PsGetProcessId", "PsInitialSystemProcess", "PsLoadedModuleList", "PsLookupProcessByProcessId",
        "PsProcessType", "PsThreadType", "RtlGetVersion", "RtlInitUnicodeString", "ZwClose", "ZwCreateFile", "memcpy", "memset",
    ];

    private readonly KernelTables _tables;
    private readonly AddressSpace _space;

    public KernelImage(KernelTables tables, AddressSpace space, KernelLayout layout, SeededRandom random)
    {
        _tables = tables;
        _space = space;
        Base = layout.KernelBase;
        var own = Align(tables.LastSymbol + 1, 0x1000);
        Size = Math.Max(tables.Build.ImageSize, own + 0x60000);
        Timestamp = tables.Build.Timestamp != 0 ? tables.Build.Timestamp : 0x5A000000 + (uint)random.Next(0x8000000);
        Sections = PlanSections(own);
        MapSections(random);
    }

    public ulong Base { get; }
    public uint Size { get; }
    public uint Timestamp { get; }
    /// <summary>The kernel for five levels is a file of its own, ntkrla57.exe, loaded under the usual name.</summary>
    public string PdbName => _space.Tables.Levels == 5 ? "ntkrla57.pdb" : "ntkrnlmp.pdb";
    public uint EntryPoint => _tables.Symbol("KiSystemStartup");
    public IReadOnlyList<PeSection> Sections { get; }
    public PeSection KvaCode => Sections.First(s => s.Name == "KVASCODE");

    /// <summary>Whether the build's data lie behind all its code, at a large page of their own: so from 19041 on.</summary>
    public static bool DataComesLast(KernelTables tables) => tables.Symbol("KdDebuggerDataBlock") > LargePage * 5;

    /// <summary>Where in .rsrc the version lies: behind the directories.</summary>
    private const uint VersionResource = 0x3C8;

    /// <summary>Offset in the KPRCB of the page KVA shadow shares: it begins with KernelDirectoryTableBase.</summary>
    public ulong PrcbKernelTable => (ulong)_tables.OffsetOf("_KPRCB", "KernelDirectoryTableBase");

    public ulong AddressOf(string symbol) => Base + _tables.Symbol(symbol);

    public bool Has(string symbol) => _tables.HasSymbol(symbol);

    /// <summary>Sets an 8-byte global; with <paramref name="optional"/> only where the build has it.</summary>
    public void SetU64(string symbol, ulong value, bool optional = false)
    {
        if (!optional || Has(symbol))
            _space.WriteU64(AddressOf(symbol), value);
    }

    public void SetU32(string symbol, uint value, bool optional = false)
    {
        if (!optional || Has(symbol))
            _space.WriteU32(AddressOf(symbol), value);
    }

    public void SetU8(string symbol, byte value, bool optional = false)
    {
        if (!optional || Has(symbol))
            _space.WriteU8(AddressOf(symbol), value);
    }

    public void EmptyList(string symbol, bool optional = false)
    {
        if (optional && !Has(symbol))
            return;
        var head = AddressOf(symbol);
        _space.WriteU64(head, head);
        _space.WriteU64(head + 8, head);
    }

    public void WriteHeaders()
    {
        var exports = _exports.Where(_tables.HasSymbol).ToDictionary(e => e, _tables.Symbol);
        var edata = Sections.First(s => s.Name == ".edata");
        var directory = PeImage.ExportDirectory(edata.Rva, "ntoskrnl.exe", Timestamp, exports);
        var debug = PeImage.Debug(DebugDirectory, Timestamp, _tables.Build.GuidBytes(), _tables.Build.Age, PdbName);
        var pe = new PeImage
        {
            Size = Size,
            Timestamp = Timestamp,
            EntryPoint = EntryPoint,
            Sections = Sections,
            IsDll = false,
            OsMajor = (ushort)_tables.Build.Major,
            OsMinor = (ushort)_tables.Build.Minor,
            CheckSum = 0x00A1B2C3,
            Exports = (edata.Rva, (uint)directory.Length),
            DebugDirectory = DebugDirectory,
        };
        _space.Write(Base, pe.Header());
        _space.Write(Base + edata.Rva, directory);
        _space.Write(Base + DebugDirectory, debug);
        _space.Write(Base + Sections.First(s => s.Name == ".rsrc").Rva + VersionResource, FixedFileInfo());
    }

    /// <summary>VS_FIXEDFILEINFO (winver.h), which every kernel carries in its resources: signature, structure version, file and product version. The rest of the resource is left out.</summary>
    private byte[] FixedFileInfo()
    {
        var build = _tables.Build;
        var info = new byte[0x34];
        var (high, low) = ((uint)(build.Major << 16 | build.Minor), (uint)(build.Build << 16 | build.Revision));
        foreach (var (at, value) in new[] { (0x00, 0xFEEF04BDU), (0x04, 0x10000U), (0x08, high), (0x0C, low), (0x10, high), (0x14, low), (0x18, 0x3FU), (0x20, 0x40004U), (0x24, 1U) })
            BitConverter.TryWriteBytes(info.AsSpan(at), value);
        return info;
    }

    /// <summary>Build numbers and strings; the lab string has the form of the real ones, its date is the twin's.</summary>
    public (string Lab, string LabEx) WriteVersion()
    {
        var build = _tables.Build;
        var branch = build.Build switch
        {
            7601 => "win7sp1_ldr_escrow.190828-1732",
            9600 => "winblue_ltsb_escrow.220905-1730",
            14393 => "rs1_release.220906-1742",
            17763 => "rs5_release.180914-1434",
            19041 => "vb_release.191206-1406",
            20348 => "fe_release.210507-1500",
            22000 => "co_release.210604-1628",
            _ => "twin_release.210101-1200",
        };
        var lab = $"{build.Build}.{branch}";
        var labEx = build.Build >= 17763 ? $"{build.Build}.1.amd64fre.{branch}" : $"{build.Build}.{build.Revision}.amd64fre.{branch}";
        _space.Write(AddressOf("NtBuildLab"), Encoding.ASCII.GetBytes(lab + "\0"));
        _space.Write(AddressOf("NtBuildLabEx"), Encoding.ASCII.GetBytes(labEx + "\0"));
        // The high nibble is 0xF in a free build (0xC in a checked one).
        SetU32("NtBuildNumber", 0xF000_0000 | (uint)build.Build);
        SetU32("NtMajorVersion", (uint)build.Major, optional: true);
        SetU32("NtMinorVersion", (uint)build.Minor, optional: true);
        if (build.Build == 7601)
            SetU32("CmNtCSDVersion", 0x100);
        return (lab, labEx);
    }

    /// <summary>
    /// Unmaps pages nothing was written to: some of the paged code becomes transition, page-file and never-touched entries.
    /// </summary>
    public void PageOut(SeededRandom random)
    {
        foreach (var section in Sections.Where(s => s.Name == "PAGE"))
        {
            for (var rva = section.Rva; rva < section.End; rva += 0x1000)
            {
                if (!_space.Tables.TryTranslate(_space.Root, Base + rva, out var pa, out var size) || size != 0x1000 || _space.Memory.Ram.IsWritten(pa) || !random.Chance(12))
                    continue;
                // Demand-zero or page-file entry: _MMPTE_SOFTWARE; page file 0 from offset 0x1000 pages on.
                var entry = random.Next(3) switch { 0 => Pte.Transition(pa), 1 => (0x1000 + random.Next(0x8000)) << 32 | 0x80, _ => 0UL };
                _space.Tables.SetEntry(_space.Root, Base + rva, entry);
            }
        }
    }

    private List<PeSection> PlanSections(uint own)
    {
        var starts = new List<(string Name, uint Rva, uint Characteristics)> { (".text", 0x1000, PeSection.Code | PeSection.NotPaged) };
        var kva = Floor("KiDivideErrorFaultShadow");
        var kvaEnd = Align(Math.Max(_tables.Symbol("KiSystemCall64Shadow") + 0x100 + CodeRoom, _tables.Symbol("KiIsrThunkShadow") + 0x800), 0x1000);
        if (DataComesLast(_tables))
        {
            // From 19041 on the constants come first and the rest begins at large-page boundaries.
            starts[0] = (".rdata", 0x1000, PeSection.ReadOnlyData | PeSection.NotPaged);
            starts.Add((".text", LargePage, PeSection.Code | PeSection.NotPaged));
            starts.Add(("PAGE", Floor("NtCreateFile"), PeSection.Code));
            starts.Add(("POOLCODE", Floor("ExAllocatePoolWithTag"), PeSection.Code | PeSection.NotPaged));
            starts.Add(("KVASCODE", kva, PeSection.Code | PeSection.NotPaged));
            starts.Add(("MINIEX", kvaEnd, PeSection.Code | PeSection.NotPaged));
            starts.Add(("INIT", Floor("Phase1InitializationDiscard"), PeSection.Code | PeSection.Discardable));
            starts.Add((".data", Floor("KdDebuggerDataBlock") & ~(LargePage - 1), PeSection.Data | PeSection.NotPaged));
            starts.Add(("ALMOSTRO", Floor("MmPteBase"), PeSection.Data | PeSection.NotPaged));
        }
        else
        {
            starts.Add(("KVASCODE", kva, PeSection.Code | PeSection.NotPaged));
            starts.Add(("POOLCODE", kvaEnd, PeSection.Code | PeSection.NotPaged));
            starts.Add((".data", Math.Min(Floor("KdDebuggerDataBlock"), Floor("KdVersionBlock")), PeSection.Data | PeSection.NotPaged));
            starts.Add(("ALMOSTRO", Floor("KiKvaShadow"), PeSection.Data | PeSection.NotPaged));
            starts.Add(("PAGE", Floor("KiSystemStartup"), PeSection.Code));
            starts.Add(("INIT", Floor("Phase1InitializationDiscard"), PeSection.Code | PeSection.Discardable));
        }
        starts.Add((".edata", own, PeSection.ReadOnlyData));
        starts.Add((".rsrc", own + 0x10000, PeSection.ReadOnlyData));
        starts.Add((".reloc", Size - 0x8000, PeSection.ReadOnlyData | PeSection.Discardable));
        starts.Sort((a, b) => a.Rva.CompareTo(b.Rva));
        var sections = new List<PeSection>();
        for (var i = 0; i < starts.Count; i++)
        {
            var end = i + 1 < starts.Count ? starts[i + 1].Rva : Size;
            sections.Add(new PeSection(starts[i].Name, starts[i].Rva, end - starts[i].Rva, starts[i].Characteristics));
        }
        return sections;
    }

    private void MapSections(SeededRandom random)
    {
        _space.Map(Base, _space.Memory.AllocatePage(), Pte.KernelReadOnly);
        foreach (var section in Sections.Where(s => !s.IsDiscardable))
        {
            var rva = section.Rva;
            while (rva < section.End)
            {
                if (section.Name == ".text" && (Base + rva) % LargePage == 0 && section.End - rva >= LargePage)
                {
                    _space.Tables.MapLarge(_space.Root, Base + rva, _space.Memory.AllocateLarge(), section.PteFlags);
                    rva += LargePage;
                    continue;
                }
                // Runs of pages that hang together, now and then a single one elsewhere.
                var pages = Math.Min(random.Next(1, 64), (int)((section.End - rva) / 0x1000));
                var pa = pages < 6 ? _space.Memory.AllocatePage() : _space.Memory.AllocateRun(pages);
                pages = pages < 6 ? 1 : pages;
                for (var i = 0; i < pages; i++, rva += 0x1000)
                    _space.Map(Base + rva, pa + (ulong)i * 0x1000, section.PteFlags);
            }
        }
    }

    private uint Floor(string symbol) => _tables.Symbol(symbol) & ~0xFFFU;

    private static uint Align(uint value, uint unit) => (value + unit - 1) & ~(unit - 1);
}
