using System.Runtime.InteropServices;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>From a 32-bit kernel's image to the system: its exports and its KDBG say where things are, a layout is proved on the processes, and only then is anything believed.</summary>
internal sealed class X86Opening(View view, ProfileStore profiles, WindowsAddressSpace space, KernelImage image, string tableHow, WindowsLimits limits, CancellationToken ct)
{
    private const ushort Machine386 = 0x14C;

    /// <summary><c>DBGKD_GET_VERSION64.DebuggerDataList</c> (windbgkd.h).</summary>
    private const int DebuggerDataList = 0x20;

    /// <summary>NtBuildNumber's highest nibble says free or checked.</summary>
    private const uint BuildMask = 0xFFFF;

    private const int BuildLabLength = 128;

    /// <summary>Fields that <c>ntddk.h</c> fixes for all versions; the same offsets in 32-bit and 64-bit systems. The build number is there from Windows 10 on.</summary>
    private static readonly SharedDataLayout s_sharedData = new()
    {
        InterruptTime = 0x08,
        SystemTime = 0x14,
        TimeZoneBias = 0x20,
        NtSystemRoot = 0x30,
        NtMajorVersion = 0x26C,
        NtMinorVersion = 0x270,
        NtBuildNumber = 0x260,
        NtProductType = 0x264,
        SuiteMask = 0x2D0,
        BootId = null,
        NumberOfPhysicalPages = 0x2E8,
        KdDebuggerEnabled = 0x2D4,
        XStateEnabledFeatures = null,
        XStateSize = null,
    };

    private readonly List<Fact> _facts = [];
    private PeExports? _exports;

    public IReadOnlyList<Fact> Facts => _facts;

    public X86System? Run(out string reason)
    {
        _facts.Add(new Fact("kernel base", image.Base.ToString(), $"PE32 header of a kernel met in the kernel's half, through {tableHow}"));
        _facts.Add(new Fact("kernel symbols", image.CodeView.ToString(), "the CodeView record its debug directory names"));
        var bytes = new LoadedImageBytes(space, image.Base);
        if (PeImage.TryRead(bytes, out var headers, out _))
            PeExports.TryRead(headers, bytes, out _exports, out _);
        if (FileVersion.Read(space, image, ct) is { } fileVersion)
            _facts.Add(new Fact("kernel file version", fileVersion, "its version resource"));

        var shared = SharedUserDataReader.Read(space, s_sharedData);
        var kdbg = FindDebuggerData();
        if (Build(shared) is not { } build)
        {
            reason = "neither its export NtBuildNumber nor KUSER_SHARED_DATA tells its build";
            return null;
        }
        if (Prove(build, kdbg, out reason) is not var (layout, proof, system))
            return null;

        var kernel = new WindowsAddressSpace(view.Memory, proof.DirectoryTableBase, space.Levels);
        if (SharedPageCheck.Judge(kernel) is { } complaint)
        {
            reason = $"System's page table 0x{proof.DirectoryTableBase:x} {complaint}";
            return null;
        }
        _facts.Insert(0, new Fact("system directory table base", $"0x{proof.DirectoryTableBase:x}", $"EPROCESS {system} of System; found through {tableHow}; maps the kernel and KUSER_SHARED_DATA"));
        _facts.Insert(1, new Fact("paging", space.Levels == X86Pointers.PaeLevels ? "PAE, three levels" : "32-bit, two levels", tableHow));
        var version = Version(build, shared, kdbg);
        _facts.Add(new Fact("KDBG", kdbg?.Address.ToString(), kdbg?.How ?? "not found: not by the processor control region of a vCPU, and no plain one in the kernel's image"));
        if (kdbg is not null)
            _facts.Add(new Fact("KDBG encoded", kdbg.Encoded ? "yes" : "no", kdbg.How));
        _facts.Add(new Fact(
            ProcessList.ListName, proof.Head.ToString(), $"{(kdbg is null ? "System's list entry" : "System's list entry and KDBG")}; {proof.Torn ?? $"the list closes over {proof.Confirmed.Processes} entries"}"));
        var modules = ModuleList(kdbg);
        var processors = kdbg?.Pointer(DebuggerDataField.KiProcessorBlock) is { } block ? X86ProcessorReader.Read(kernel, block, layout, view.Cpus, _facts) : [];
        if (processors.Count == 0)
            _facts.Add(new Fact("processors", null, "KDBG does not lead to KiProcessorBlock, or its processors are not in memory"));
        return new X86System(layout, limits)
        {
            View = view,
            Kernel = kernel,
            Image = image,
            Version = version,
            Kdbg = kdbg,
            SharedData = shared,
            ProcessListHead = proof.Head,
            ModuleListHead = modules,
            SystemProcess = system,
            Processors = processors,
            PhysicalMemoryBlock = X86PhysicalMemory.Read(kernel, kdbg, limits, _facts),
            BugCheck = BugCheck(kdbg),
            KernelFacts = _facts,
        };
    }

    /// <summary>Through the processor control region, which FS addresses in the kernel; else by its tag.</summary>
    private X86DebuggerData? FindDebuggerData()
    {
        foreach (var cpu in view.Cpus)
        {
            if (cpu.Fs?.Base is not { } fs || !X86Pointers.IsObject((uint)fs) || !X86Pointers.TryRead(space, new VirtualAddress((uint)fs) + X86Layout.PcrSelf, out var self) || self.Value != (uint)fs)
                continue;
            if (X86Pointers.TryRead(space, self + X86Layout.PcrVersionBlock, out var version) && X86Pointers.TryRead(space, version + DebuggerDataList, out var list)
                && X86Pointers.TryRead(space, list, out var block) && X86DebuggerData.Read(space, block, image.Base, $"KPCR.KdVersionBlock of vCPU {cpu.Index}") is { } data)
                return data;
        }
        return X86DebuggerData.Find(space, image, ct);
    }

    private uint? Build(SharedUserData? shared) =>
        Export("NtBuildNumber") is { } at && space.TryRead(at, out uint number) && (number & BuildMask) != 0 ? number & BuildMask : shared?.NtBuildNumber is { } build and not 0 ? build & BuildMask : null;

    private (X86Layout Layout, X86LayoutProof Proof, VirtualAddress System)? Prove(uint build, X86DebuggerData? kdbg, out string reason)
    {
        var head = kdbg?.Pointer(DebuggerDataField.PsActiveProcessHead);
        reason = "neither its export PsInitialSystemProcess nor KDBG leads to the System process";
        foreach (var layout in X86Layouts.For(profiles, build))
        {
            VirtualAddress system;
            if (Export("PsInitialSystemProcess") is not { } global || !X86Pointers.TryRead(space, global, out system))
            {
                if (head is not { } list || !X86Pointers.TryRead(space, list, out var first))
                    continue;
                system = first - (ulong)layout.ProcessLinks;
            }
            var isOwn = layout.Build == build;
            var proof = new X86LayoutProof(space, image, layout, isOwn, limits);
            if (proof.Refusal(system, head, ct) is { } refusal)
            {
                reason = $"the layout of {layout.Version}{(isOwn ? "" : $", the nearest to its build {build},")} does not fit this memory: {refusal}";
                _facts.Add(new Fact("layout refused", layout.Version, refusal));
                continue;
            }
            _facts.Add(new Fact(
                "layout", layout.Version,
                $"{(isOwn ? "of its build" : $"the nearest known to build {build}, a hypothesis")}; proved on {proof.Confirmed.Processes} processes and the threads of {proof.Confirmed.Threads}"));
            return (layout, proof, system);
        }
        return null;
    }

    private KernelVersion Version(uint build, SharedUserData? shared, X86DebuggerData? kdbg)
    {
        var at = kdbg?.Pointer(DebuggerDataField.NtBuildLab) ?? Export("NtBuildLab");
        Span<byte> text = stackalloc byte[BuildLabLength];
        var lab = at is { } place ? UnicodeString.Ascii(text[..space.Read(place, text)]) : "";
        var version = new KernelVersion
        {
            Major = shared?.NtMajorVersion ?? 0,
            Minor = shared?.NtMinorVersion ?? 0,
            Build = build,
            MachineType = Machine386,
            BuildLab = lab.Length == 0 ? null : lab,
        };
        _facts.Add(new Fact("Windows version", version.ToString(), "KUSER_SHARED_DATA and NtBuildNumber"));
        _facts.Add(new Fact("build lab", version.BuildLab, version.BuildLab is null ? "neither KDBG nor an export leads to it" : "NtBuildLab"));
        if (shared is not null)
            _facts.Add(new Fact("system time", WindowsTime.Show(shared.SystemTime), "KUSER_SHARED_DATA.SystemTime; old where the guest hangs"));
        return version;
    }

    private VirtualAddress? ModuleList(X86DebuggerData? kdbg)
    {
        var (exported, named) = (Export("PsLoadedModuleList"), kdbg?.Pointer(DebuggerDataField.PsLoadedModuleList));
        var head = named ?? exported;
        _facts.Add(new Fact("PsLoadedModuleList", head?.ToString(), (exported, named) switch
        {
            ({ } one, { } other) => one == other ? "KDBG and the kernel's exports" : $"KDBG; the kernel's exports say {one}",
            (null, { }) => "KDBG",
            ({ }, null) => "the kernel's exports",
            _ => "neither KDBG nor the kernel's exports have it",
        }));
        return head;
    }

    private BugCheckData? BugCheck(X86DebuggerData? kdbg)
    {
        Span<uint> data = stackalloc uint[5];
        if (kdbg?.Pointer(DebuggerDataField.KiBugcheckData) is not { } at || !space.TryRead(at, MemoryMarshal.AsBytes(data)))
            return null;
        _facts.Add(new Fact("bugcheck", data[0] == 0 ? "none" : $"0x{data[0]:X} ({data[1]:x}, {data[2]:x}, {data[3]:x}, {data[4]:x})", "KiBugCheckData"));
        return data[0] == 0 ? null : new BugCheckData(data[0], data[1], data[2], data[3], data[4]);
    }

    private VirtualAddress? Export(string name) => _exports?.Find(name) is { IsForwarder: false } export ? image.Base + export.Rva : null;
}
