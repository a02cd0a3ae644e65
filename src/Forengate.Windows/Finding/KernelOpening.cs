using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>A kernel image seen through a page table, not yet verified.</summary>
/// <param name="Space">The address space it was seen in.</param>
/// <param name="Image">The image.</param>
/// <param name="TableHow">Where the page table comes from.</param>
/// <param name="LevelsHow">Why it has so many levels.</param>
/// <param name="ImageHow">How the image was found.</param>
internal sealed record KernelCandidate(AddressSpace Space, KernelImage Image, string TableHow, string LevelsHow, string ImageHow);

/// <summary>
/// Verifies a candidate and reads all that a <see cref="WindowsSystem"/> holds. The proof is that the kernel's own globals lead to a System process
/// whose page table shows the same kernel: the remains of an earlier boot rarely pass, and where they do, <see cref="Standing"/> tells the living one.
/// </summary>
internal sealed class KernelOpening
{
    /// <summary>PID of the System process on every Windows since XP.</summary>
    private const ulong SystemId = 4;

    /// <summary><c>KOBJECTS.ProcessObject</c> in the first byte of a dispatcher header (ntosp.h); bit 7 is its lock.</summary>
    private const byte ProcessObject = 3;

    private readonly View _view;
    private readonly KernelCandidate _candidate;
    private readonly KernelProfile _profile;
    private readonly DeducedKernel? _deduced;
    private readonly KernelLayouts _layouts;
    private readonly WindowsLimits _limits;
    private readonly CancellationToken _ct;
    private IReadOnlySet<int> _outside = new HashSet<int>();
    private readonly List<Fact> _facts = [];

    private KernelOpening(View view, KernelCandidate candidate, KernelProfile profile, DeducedKernel? deduced, KernelLayouts layouts, WindowsLimits limits, CancellationToken ct)
    {
        _deduced = deduced;
        _view = view;
        _candidate = candidate;
        _profile = profile;
        _layouts = layouts;
        _limits = limits;
        _ct = ct;
    }

    private VirtualAddress Base => _candidate.Image.Base;

    /// <summary>How far a verified system is to be preferred to another one in the same memory.</summary>
    /// <param name="ListCloses">Its process list is whole.</param>
    /// <param name="Time">Its system time.</param>
    public readonly record struct Standing(bool ListCloses, ulong Time) : IComparable<Standing>
    {
        public int CompareTo(Standing other) =>
            ListCloses != other.ListCloses ? ListCloses.CompareTo(other.ListCloses) : Time.CompareTo(other.Time);
    }

    /// <summary>Verifies and reads.</summary>
    /// <returns>The system and how it stands, or null and the reason why the candidate is not believed.</returns>
    public static (WindowsSystem? System, Standing Standing, string? Reason) Open(
        View view, KernelCandidate candidate, KernelProfile profile, WindowsLimits limits, CancellationToken ct) =>
        Open(view, candidate, profile, null, limits, ct);

    /// <summary>Verifies and reads by a profile that was deduced, whose evidence becomes part of the facts.</summary>
    public static (WindowsSystem? System, Standing Standing, string? Reason) Open(View view, KernelCandidate candidate, DeducedKernel deduced, WindowsLimits limits, CancellationToken ct) =>
        Open(view, candidate, deduced.Profile, deduced, limits, ct);

    private static (WindowsSystem? System, Standing Standing, string? Reason) Open(
        View view, KernelCandidate candidate, KernelProfile profile, DeducedKernel? deduced, WindowsLimits limits, CancellationToken ct)
    {
        if (KernelLayouts.Resolve(profile, out var missing) is not { } layouts)
            return (null, default, $"the profile of {candidate.Image.CodeView} lacks {missing}: make it anew from full symbols");
        return new KernelOpening(view, candidate, profile, deduced, layouts, limits, ct).Open();
    }

    private (WindowsSystem? System, Standing Standing, string? Reason) Open()
    {
        var image = _candidate.Image;
        _facts.Add(new Fact("kernel base", Base.ToString(), _candidate.ImageHow));
        _facts.Add(new Fact("kernel image", $"{image.Size:#,0} bytes, time stamp 0x{image.TimeDateStamp:x8}", "its PE header"));
        _facts.Add(new Fact("kernel symbols", image.CodeView.ToString(), "the CodeView record its debug directory names"));
        _facts.Add(_deduced is null
            ? new Fact("profile", _profile.ToString(), $"{_profile.Origin}, by GUID and age")
            : new Fact(
                "profile", _profile.ToString(),
                $"{_profile.Origin}: {_deduced.Accepted.Count} fields, sizes and globals accepted with evidence, {_deduced.Refused.Count} not"
                    + (_deduced.Nearest is { } nearest ? $"; {nearest.Name} agrees with all of them and tells where some lie that memory does not show" : "")));

        if (_deduced?.Unfit is { } unfit)
            _facts.Add(new Fact("profile refused", null, $"{unfit} of the {unfit.Origin} does not pass the self-test on this memory"));

        if (FindSystem(out var reason) is not { } found)
            return (null, default, reason);
        var (kernel, systemProcess) = found;

        var shared = SharedUserDataReader.Read(kernel, _layouts.SharedData);
        var version = ReadVersion(kernel, shared);
        if (shared is not null)
        {
            _facts.Add(new Fact("system time", WindowsTime.Show(shared.SystemTime), "KUSER_SHARED_DATA.SystemTime; old where the guest hangs"));
            _facts.Add(new Fact("up time", TimeSpan.FromTicks((long)(shared.InterruptTime & long.MaxValue)).ToString("c"), "KUSER_SHARED_DATA.InterruptTime"));
            _facts.Add(new Fact("system root", shared.NtSystemRoot, "KUSER_SHARED_DATA.NtSystemRoot"));
        }
        else
        {
            _facts.Add(new Fact("KUSER_SHARED_DATA", null, $"its page at {SharedUserDataReader.Address} is not in memory"));
        }

        if (AddressOf(KernelGlobal.KiKvaShadow) is { } shadow)
        {
            _facts.Add(kernel.TryRead(shadow, out byte on)
                ? new Fact("KVA shadow", on == 0 ? "off" : "on", "KiKvaShadow")
                : new Fact("KVA shadow", null, $"KiKvaShadow at {shadow} is not in memory"));
        }
        else if (_deduced is not null && _layouts.Process.UserDirectoryTableBase is not null)
        {
            _facts.Add(new Fact("KVA shadow", "on", "processes have a second page table that does not map the kernel"));
        }
        var kdbg = DebuggerDataReader.Read(kernel, Base, Globals(), _facts);
        var closes = CheckLists(kernel);
        var processors = ReadProcessors(kernel, kdbg, out var unmatched);
        var block = ReadPhysicalMemory(kernel);
        var bugCheck = ReadBugCheck(kernel);
        var system = new WindowsSystem(_layouts, _limits)
        {
            View = _view,
            Kernel = kernel,
            Image = image,
            Profile = _profile,
            Version = version,
            Kdbg = kdbg,
            Processors = processors,
            UnmatchedCpus = unmatched,
            OutsideCpus = _outside,
            SharedData = shared,
            PhysicalMemoryBlock = block,
            BugCheck = bugCheck,
            SystemProcess = systemProcess,
            KernelFacts = _facts,
        };
        system.Proof = ProfileTest.Run(system, _ct);
        if (_deduced is not null && !system.Proof.Holds)
            return (null, default, $"what was deduced does not pass the self-test ({system.Proof}): {string.Join("; ", system.Proof.Checks.Where(static check => check.Verdict == ProofVerdict.Failed).Take(4).Select(static check => $"{check.Name}: {check.Evidence}"))}");
        _facts.AddRange(system.Proof.Facts());
        if (_deduced is not null)
        {
            _facts.AddRange(_deduced.Accepted.Select(static fact => fact with { Name = $"deduced {fact.Name}" }));
            _facts.AddRange(_deduced.Refused.Select(static fact => fact with { Name = $"not deduced: {fact.Name}" }));
        }
        return (system, new Standing(closes, shared?.SystemTime ?? 0), null);
    }

    /// <summary>From the candidate's space to System's own.</summary>
    private (WindowsAddressSpace Kernel, VirtualAddress? Process)? FindSystem(out string? reason)
    {
        reason = null;
        var first = _candidate.Space;
        var layout = _layouts.Process;
        if (AddressOf(KernelGlobal.PsInitialSystemProcess) is not { } global)
        {
            reason = "the profile lacks PsInitialSystemProcess";
            return null;
        }
        var eprocess = default(VirtualAddress);
        var bytes = new byte[layout.Length];
        if (!first.TryReadPointer(global, out eprocess) || (KernelPointers.IsObject(eprocess, first.Levels) && !first.TryRead(eprocess, bytes)))
        {
            // Missing is not wrong: a view that lacks these pages still has a kernel, seen through the table we came by.
            _facts.Add(new Fact(
                "system directory table base", $"0x{first.DirectoryTableBase.Value:x}",
                $"{_candidate.TableHow}; System's own could not be read: PsInitialSystemProcess at {global} leads to memory that is missing"));
            return (new WindowsAddressSpace(_view.Memory, first.DirectoryTableBase.Value, first.Levels), null);
        }
        if (!KernelPointers.IsObject(eprocess, first.Levels))
        {
            reason = $"PsInitialSystemProcess at {global} holds {eprocess}, which is no kernel address";
            return null;
        }

        var id = BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(layout.UniqueProcessId));
        var table = KernelPointers.TableBase(BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(layout.DirectoryTableBase)));
        if ((bytes[layout.HeaderType] & 0x7F) != ProcessObject || id != SystemId || table == 0 || table >= _view.Memory.End.Value)
        {
            reason = $"PsInitialSystemProcess leads to {eprocess}, where no System process lies (type {bytes[layout.HeaderType]}, PID {id}, DTB 0x{table:x})";
            return null;
        }

        var kernel = new WindowsAddressSpace(_view.Memory, table, first.Levels);
        var (here, there) = (first.Translate(Base), kernel.Translate(Base));
        if (!there.Ok || there.Address != here.Address)
        {
            reason = $"System's page table 0x{table:x} does not map the kernel that {_candidate.TableHow} maps at {Base}";
            return null;
        }
        if (kernel.Translate(eprocess).Address != first.Translate(eprocess).Address)
        {
            reason = $"System's page table 0x{table:x} and {_candidate.TableHow} map System's EPROCESS {eprocess} to different pages";
            return null;
        }
        if (SharedPageCheck.Judge(kernel) is { } complaint)
        {
            reason = $"System's page table 0x{table:x} {complaint}";
            return null;
        }
        var how = table == first.DirectoryTableBase.Value ? $"{_candidate.TableHow}, the same" : $"reached through {_candidate.TableHow} (0x{first.DirectoryTableBase.Value:x})";
        _facts.Insert(0, new Fact(
            "system directory table base", $"0x{table:x}",
            $"EPROCESS {eprocess} at PsInitialSystemProcess; {how}; maps the kernel and KUSER_SHARED_DATA"));
        _facts.Insert(1, new Fact("paging levels", kernel.Levels.ToString(), _candidate.LevelsHow));
        return (kernel, eprocess);
    }

    private KernelVersion ReadVersion(AddressSpace kernel, SharedUserData? shared)
    {
        var lab = ReadAscii(kernel, KernelGlobal.NtBuildLab);
        var labEx = ReadAscii(kernel, KernelGlobal.NtBuildLabEx);
        Span<byte> block = stackalloc byte[VersionBlock.Length];
        var hasBlock = AddressOf(KernelGlobal.KdVersionBlock) is { } at && kernel.TryRead(at, block);
        var kd = hasBlock ? VersionBlock.From(block) : (VersionBlock?)null;

        // NtBuildNumber's highest nibble says free or checked; the rest is the build.
        uint? build = AddressOf(KernelGlobal.NtBuildNumber) is { } number && kernel.TryRead(number, out uint raw) ? raw & 0xFFFF : null;
        build ??= shared?.NtBuildNumber ?? kd?.MinorVersion;
        var version = new KernelVersion
        {
            Major = shared?.NtMajorVersion ?? (uint)_profile.Version.Major,
            Minor = shared?.NtMinorVersion ?? (uint)_profile.Version.Minor,
            Build = build ?? (uint)_profile.Version.Build,
            KdMajor = kd?.MajorVersion,
            KdMinor = kd?.MinorVersion,
            ProtocolVersion = kd?.ProtocolVersion,
            KdSecondaryVersion = kd?.KdSecondaryVersion,
            KdFlags = kd?.Flags,
            MachineType = kd?.MachineType is { } machine and not 0 ? machine : LoadedImage.Amd64,
            BuildLab = lab,
            BuildLabEx = labEx,
        };
        _facts.Add(new Fact(
            "Windows version", version.ToString(), shared is null || build is null ? "the profile, for what KUSER_SHARED_DATA and NtBuildNumber do not tell" : "KUSER_SHARED_DATA and NtBuildNumber"));
        _facts.Add(new Fact("build lab", labEx ?? lab, labEx is not null ? "NtBuildLabEx" : lab is not null ? "NtBuildLab" : "NtBuildLab and NtBuildLabEx are not in memory"));
        _facts.Add(kd is { } block64
            ? new Fact(
                "KdVersionBlock", $"0x{block64.MajorVersion:x}.{block64.MinorVersion}, protocol {block64.ProtocolVersion}, machine 0x{block64.MachineType:x}",
                block64.KernBase == Base.Value ? "its KernBase is the kernel base" : $"its KernBase is 0x{block64.KernBase:x}, not the kernel base")
            : new Fact("KdVersionBlock", null, "not in the profile, or its page is not in memory"));
        return version;
    }

    private DebuggerDataGlobals Globals() => new(
        AddressOf(KernelGlobal.KdDebuggerDataBlock), AddressOf(KernelGlobal.KdpDataBlockEncoded), AddressOf(KernelGlobal.KiWaitNever),
        AddressOf(KernelGlobal.KiWaitAlways), AddressOf(KernelGlobal.PsLoadedModuleList), AddressOf(KernelGlobal.PsActiveProcessHead));

    private bool CheckLists(AddressSpace kernel)
    {
        CheckList(kernel, KernelGlobal.PsLoadedModuleList, _limits.Drivers);
        return CheckList(kernel, KernelGlobal.PsActiveProcessHead, _limits.Processes);
    }

    private bool CheckList(AddressSpace kernel, KernelGlobal global, int limit)
    {
        if (AddressOf(global) is not { } head)
        {
            _facts.Add(new Fact(global.ToString(), null, "not in the profile"));
            return false;
        }
        var warnings = new WarningList(1);
        var entries = LinkedListWalk.Follow(
            kernel, head, limit,
            (VirtualAddress at, out LinkedListWalk.Links links, out bool item) =>
            {
                item = true;
                return LinkedListWalk.TryReadLinks(kernel, at, out links);
            },
            global.ToString(), warnings, _ct);
        var closes = warnings.Count == 0;
        _facts.Add(new Fact(
            global.ToString(), head.ToString(),
            closes ? $"from the profile; the list closes over {entries.Count} entries" : $"from the profile; {entries.Count} entries, but: {warnings.ToList()[0]}"));
        return closes && entries.Count > 0;
    }

    private List<Processor> ReadProcessors(AddressSpace kernel, DebuggerData? kdbg, out IReadOnlyList<CpuState> unmatched)
    {
        var warnings = new WarningList(4);
        var processors = new List<Processor>();
        var foreign = ForeignCpu.Of(kernel, _candidate.Image, _view, _ct);
        var cpus = foreign.Count == 0 ? _view.Cpus : [.. _view.Cpus.Where(cpu => !foreign.Any(one => ReferenceEquals(one.Cpu, cpu)))];
        if (AddressOf(KernelGlobal.KiProcessorBlock) is { } block)
        {
            processors = ProcessorReader.Read(
                kernel, block, _layouts.Processor, _layouts.Thread, _layouts.Process, kdbg?.OffsetPrcbContext, _view, cpus, _limits, warnings);
        }
        else
        {
            warnings.Add("the profile lacks KiProcessorBlock");
        }
        var complaints = warnings.ToList();
        var how = "KiProcessorBlock, each KPRCB with its own number";

        // A byte on the oldest builds, more on later ones: the lowest byte is there in all.
        if (AddressOf(KernelGlobal.KeNumberProcessors) is { } number && kernel.TryRead(number, out byte claimed))
            how += claimed == (byte)processors.Count ? "; KeNumberProcessors agrees" : $"; KeNumberProcessors says {claimed}";
        _facts.Add(processors.Count > 0
            ? new Fact("processors", processors.Count.ToString(), how)
            : new Fact("processors", null, complaints.Count > 0 ? complaints[0] : "KiProcessorBlock is not in memory or empty"));
        foreach (var processor in processors)
        {
            _facts.Add(new Fact(
                $"processor {processor.Number}",
                $"KPCR {processor.Kpcr}, KPRCB {processor.Kprcb}"
                    + (processor.CurrentProcessName is { } name ? $", in {name} ({processor.CurrentProcessId})" : ""),
                processor.MatchedBy));
        }
        foreach (var one in foreign)
            _facts.Add(new Fact($"vCPU {one.Cpu.Index}", one.Place, one.How));
        var left = _view.Cpus.Where(cpu => !processors.Exists(p => ReferenceEquals(p.Cpu, cpu))).ToList();
        foreach (var cpu in left)
        {
            if (!cpus.Any(own => ReferenceEquals(own, cpu)))
                continue;
            _facts.Add(new Fact(
                $"vCPU {cpu.Index}", null,
                $"no processor: GS base {Show(cpu.Gs?.Base)} and KERNEL_GS_BASE {Show(cpu.KernelGsBase)} are no KPCR of KiProcessorBlock"));
        }
        unmatched = left;
        _outside = foreign.Select(one => one.Cpu.Index).ToHashSet();
        return processors;
    }

    private List<PhysicalRange>? ReadPhysicalMemory(AddressSpace kernel)
    {
        if (AddressOf(KernelGlobal.MmPhysicalMemoryBlock) is not { } pointer)
        {
            _facts.Add(new Fact("MmPhysicalMemoryBlock", null, "not in the profile"));
            return null;
        }
        var runs = PhysicalMemoryBlockReader.Read(kernel, pointer, _layouts.PhysicalMemoryBlock, _limits, out var reason);
        _facts.Add(runs is null
            ? new Fact("MmPhysicalMemoryBlock", null, $"at {pointer}: {reason}")
            : new Fact("MmPhysicalMemoryBlock", string.Join(", ", runs), $"{runs.Count} runs, {runs.Aggregate(0UL, (sum, run) => sum + run.PageCount):#,0} pages, at {pointer}"));
        return runs;
    }

    private BugCheckData? ReadBugCheck(AddressSpace kernel)
    {
        // ULONG_PTR KiBugCheckData[5]: the code and its four parameters (wdbgexts.h names it for debuggers).
        Span<ulong> data = stackalloc ulong[5];
        if (AddressOf(KernelGlobal.KiBugCheckData) is not { } at || !kernel.TryRead(at, System.Runtime.InteropServices.MemoryMarshal.AsBytes(data)))
        {
            _facts.Add(new Fact("bugcheck", null, "KiBugCheckData is not in the profile or not in memory"));
            return null;
        }
        var code = (uint)data[0];
        _facts.Add(code == 0
            ? new Fact("bugcheck", "none", "KiBugCheckData is zero")
            : new Fact("bugcheck", $"0x{code:X} ({data[1]:x}, {data[2]:x}, {data[3]:x}, {data[4]:x})", "KiBugCheckData"));
        return code == 0 ? null : new BugCheckData(code, data[1], data[2], data[3], data[4]);
    }

    private string? ReadAscii(AddressSpace kernel, KernelGlobal global)
    {
        Span<byte> text = stackalloc byte[128];
        if (AddressOf(global) is not { } at)
            return null;
        var line = UnicodeString.Ascii(text[..kernel.Read(at, text)]);
        return line.Length == 0 ? null : line;
    }

    private VirtualAddress? AddressOf(KernelGlobal global) => KernelLayouts.AddressOf(_profile, Base, global);

    private static string Show(ulong? value) => value is { } known ? $"0x{known:x}" : "unknown";
}
