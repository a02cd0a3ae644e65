using System.Text;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Truth;

/// <summary>Tells what an image holds, from what the builder knows rather than from what a reader would find.</summary>
internal static class TruthBuilder
{
    /// <summary>The file beside truth.json that holds the state of each page.</summary>
    public const string PageFramesFile = "pfn.bin";
    private const int MostTranslations = 4000;

    private static readonly string[] _globals =
    [
        "PsLoadedModuleList", "PsActiveProcessHead", "PsInitialSystemProcess", "PsIdleProcess", "KiProcessorBlock", "KeNumberProcessors", "KdDebuggerDataBlock", "KdpDataBlockEncoded", "KdpDebuggerDataListHead",
        "KiWaitNever", "KiWaitAlways", "KdVersionBlock", "MmPfnDatabase", "MmPteBase", "MmPhysicalMemoryBlock", "KiBugCheckData", "NtBuildNumber", "NtBuildLab", "NtBuildLabEx", "MmHighestPhysicalPage", "PspCidTable",
        "KeTimeIncrement", "ObTypeIndexTable", "ObHeaderCookie", "PsProcessType", "PsThreadType", "KiKvaShadow", "KiInitialProcess", "KiInitialThread", "KiProcessListHead", "MmUserProbeAddress", "PsNtosImageBase", "MmAvailablePages",
        "MmZeroedPageListHead", "MmFreePageListHead", "MmStandbyPageListHead", "MmModifiedPageListHead",
    ];

    public static TruthDocument Build(TwinImage image)
    {
        var options = image.Options;
        var build = image.Tables.Build;
        var server = image.Shared;
        return new TruthDocument
        {
            Options = new TruthOptions(options.Build, options.Seed, options.MemorySize, options.EffectiveLowSize, options.CpuCount, options.CpuModes.ToString().ToLowerInvariant(), options.Processes, options.Threads,
                options.Drivers, options.KvaShadow, options.KdbgEncoded, options.HiddenProcesses, options.HiddenDrivers, options.ExitedProcesses, options.SpareProcesses, options.FillPercent, options.Shuffle, options.HideBuild),
            Build = new TruthBuild(build.Version, build.Major, build.Minor, build.Build, image.BuildLab, image.BuildLabEx, build.Guid, build.Age, image.Kernel.PdbName, image.Kernel.Timestamp, server.ProductType, server.SuiteMask),
            Memory = new TruthMemory(image.Ram.Size, image.Ram.LowSize, image.Runs.Select(r => new TruthRun(r.FirstPage, r.Pages)).ToArray(),
                image.System.ReadU64(image.Kernel.AddressOf("MmPhysicalMemoryBlock")), server.Pages, image.PfnDatabase),
            Paging = new TruthPaging(image.SystemDtb, image.System.Root, image.Layout.SelfMap, image.Layout.PteBase, options.KvaShadow, LowStub.Address, options.Levels),
            PageFrames = new TruthPageFrames(image.PfnDatabase, image.Frames.EntrySize, PageFramesFile, CountPages(image.Frames.States)),
            Kernel = new TruthKernel(image.Kernel.Base, image.Kernel.Size, image.Kernel.Base + image.Kernel.EntryPoint, image.Pool.Start, image.Pool.End, image.Objects.Cookie, ProcessBuilder.HeaderSize(image.Tables),
                image.Kernel.Sections.Select(s => new TruthSection(s.Name, s.Rva, s.Size, s.IsDiscardable)).ToArray()),
            Kdbg = new TruthKdbg(image.Kdbg.Address, image.System.Translate(image.Kdbg.Address), image.Kdbg.Decoded.Length, image.Kdbg.Encoded, image.Kdbg.WaitNever, image.Kdbg.WaitAlways, image.Kdbg.FlagAddress,
                Convert.ToHexStringLower(image.Kdbg.Decoded)),
            Times = new TruthTimes(TwinClock.NowUtc, TwinClock.Now, TwinClock.ToUtc(TwinClock.Boot), TwinClock.UpTime.TotalSeconds, TwinClock.Interrupt, build.Build >= 14393 ? server.BootId : null, server.Cookie,
                KernelLayout.SharedUserData, server.Page),
            Bugcheck = options.Bugcheck is { } b ? new TruthBugcheck(b.Code, [b.P1, b.P2, b.P3, b.P4]) : null,
            Note = image.Note is { } n ? new TruthNote(n.Address, n.Size, n.Va, n.DebuggerBlock) : null,
            Hot = image.Hot is { } hot
                ? new TruthHot(hot.Va, options.HotPages, hot.Runs.Select(r => new TruthRun(r.FirstPage, r.Pages)).ToArray(), image.Plan.Code.CounterPage, image.System.Translate(image.Plan.Code.CounterPage))
                : null,
            Growth = image.Growth is { } growth
                ? new TruthGrowth(image.Commands.Single(c => c.Process is null).Index, growth.Runs.Select(r => new TruthRun(r.FirstPage, r.Pages)).ToArray(), growth.Block, MemoryGrowth.Mark,
                    growth.Pages.Select(p => new TruthGrownPage(p.Va, p.Pa)).ToArray())
                : null,
            Cpus = image.Plan.Cpus.Select(c => Cpu(image, c)).ToArray(),
            Globals = _globals.Where(image.Kernel.Has).Select(g => Global(image, g)).ToArray(),
            Drivers = image.Drivers.Select(d => new TruthDriver(d.Name, d.Path, d.Base, d.Size, d.EntryPoint, d.Entry, d.Hidden, d.Timestamp, d.Guid.ToString("N").ToUpperInvariant())).ToArray(),
            Processes = image.Processes.Append(image.Idle).Select(p => Process(image, p)).ToArray(),
            Commands = image.Commands.Where(c => c.Process is not null).Select(c => new TruthCommand(c.Index, c.Action, c.Process!.Plan.Pid, c.Process.Plan.Name, Time(c.ExitTime))).ToArray(),
            Translations = Translations(image),
            Layouts = image.Tables.Use.Types.ToArray().ToDictionary(t => t, t => Layout(image.Tables, t)),
            Symbols = image.Tables.Use.Symbols.ToArray().ToDictionary(s => s, s => (Hex)image.Tables.Symbol(s)),
        };
    }

    private static Dictionary<string, int> CountPages(byte[] states)
    {
        var counts = PageState.Names.ToDictionary(n => n, _ => 0);
        foreach (var state in states.Where(s => s != PageState.None))
            counts[PageState.Names[state & PageState.LocationMask]]++;
        return counts;
    }

    private static TruthLayout Layout(KernelTables tables, string name)
    {
        var type = tables.Type(name);
        var used = tables.Use.FieldsOf(name);
        return new TruthLayout((ulong)type.Size, type.Fields.Values.Where(f => used.Contains(f.Name)).OrderBy(f => f.Offset).ThenBy(f => f.BitPosition).ThenBy(f => f.Name, StringComparer.Ordinal).ToDictionary(f => f.Name,
            f => new TruthField((ulong)f.Offset, (ulong)f.Size, f.Type, f.Count == 1 ? null : f.Count, f.BitLength == 0 ? null : f.BitPosition, f.BitLength == 0 ? null : f.BitLength)));
    }

    private static TruthCpu Cpu(TwinImage image, CpuStart c)
    {
        var at = image.Processors[c.Index];
        var (process, thread) = image.Running[c.Index];
        ulong Pa(ulong va) => image.System.Translate(va);
        var registers = new TruthRegisters(c.Cr0, c.Cr3, c.Cr4, c.Cr8, c.Efer, c.GdtBase, c.GdtLimit, c.IdtBase, c.IdtLimit, c.TrSelector, c.LdtSelector, c.GsBase, c.KernelGsBase, c.FsBase, c.Star, c.LStar, c.CStar,
            c.SfMask, c.Rip, c.Rsp, c.Rflags, c.Cs, c.Ss, c.Ds, c.Es, c.Fs, c.Gs, c.R12, c.R13, c.R14, c.R15, Convert.ToHexStringLower(c.Xmm6To9 ?? []));
        return new TruthCpu(c.Index, c.Mode.ToString().ToLowerInvariant(), at.Kpcr, Pa(at.Kpcr), at.Prcb, Pa(at.Prcb), at.Context, Pa(at.Context), at.ContextFrame, at.SpecialRegisters, at.Gdt, at.Idt, at.Tss,
            thread.Ethread, image.Idle.Threads[c.Index].Ethread, process.Eprocess, process.Plan.Pid, c.KernelStack, c.KernelCr3, registers);
    }

    private static TruthGlobal Global(TwinImage image, string name)
    {
        var va = image.Kernel.AddressOf(name);
        return new TruthGlobal(name, va - image.Kernel.Base, va, image.System.Translate(va), image.System.ReadU64(va));
    }

    private static TruthProcess Process(TwinImage image, TwinProcess p)
    {
        var plan = p.Plan;
        var state = plan.Pid == 0 ? "idle" : plan.State switch
        {
            ProcessState.Running => "running", ProcessState.Hidden => "hidden", ProcessState.Spare => "spare", _ => "exited",
        };
        var threads = p.Threads.Select(t => new TruthThread(t.Tid, t.Ethread, image.System.Translate(t.Ethread), t.Teb, t.StackBase, t.StackLimit, t.StartAddress, t.Win32StartAddress, Time(t.CreateTime), Time(t.ExitTime), t.State));
        return new TruthProcess(plan.Pid, plan.ParentPid, plan.Name, Encoding.ASCII.GetString(p.ShortName), plan.Path, p.NativePath, plan.CommandLine, state, plan.Pid != 0 && plan.IsListed, Time(plan.CreateTime),
            Time(plan.ExitTime), p.ExitStatus, plan.Session, plan.Wow64, plan.HasExited ? 0 : plan.Threads, p.Eprocess, image.System.Translate(p.Eprocess), p.Dtb, p.UserDtb, p.Peb, p.Wow64Peb, p.ImageBase, threads.ToArray());
    }

    private static DateTime? Time(ulong fileTime) => fileTime == 0 ? null : TwinClock.ToUtc(fileTime);

    /// <summary>A sample of addresses under the system's, some processes' and their user tables, each looked up in the tables as written; some have no translation.</summary>
    private static List<TruthTranslation> Translations(TwinImage image)
    {
        var random = new SeededRandom(image.Options.Seed ^ 0x7A45);
        var list = new List<TruthTranslation>();
        void Add(ulong root, ulong va)
        {
            if (list.Count >= MostTranslations)
                return;
            if (image.System.Tables.TryTranslate(root, va, out var pa, out var size))
                list.Add(new TruthTranslation(root, va, pa, size));
            else
                list.Add(new TruthTranslation(root, va, null, null));
        }

        var system = image.System.Root;
        for (var i = 0; i < 900; i++)
            Add(system, image.Kernel.Base + random.Next(image.Kernel.Size));
        for (var i = 0; i < 300; i++)
            Add(system, image.Pool.Start + random.Next(image.Pool.End - image.Pool.Start));
        for (var i = 0; i < 100; i++)
            Add(system, image.PfnDatabase + random.Next(image.Ram.LowSize / GuestRam.PageSize * 0x30));
        for (var i = 0; i < 100; i++)
            Add(system, image.Layout.PteBase + random.Next(1UL << 12 + 9 * (image.Options.Levels - 1)));
        Add(system, image.Layout.TopTable | (ulong)image.Layout.SelfMap << 3);
        Add(system, KernelLayout.SharedUserData + 0x14);
        Add(system, KernelLayout.HalApic + 0x20);
        foreach (var driver in image.Drivers)
        {
            for (var i = 0; i < 3; i++)
                Add(system, driver.Base + random.Next(driver.Size));
        }
        foreach (var cpu in image.Processors)
        {
            foreach (var va in new[] { cpu.Kpcr, cpu.Prcb + 0x1000, cpu.Gdt, cpu.Idt, cpu.Tss, cpu.Context })
                Add(system, va);
        }
        foreach (var process in image.Processes.Where(p => p.Peb != 0).Take(60))
        {
            foreach (var root in new[] { process.Root, process.UserDtb & Pte.AddressMask }.Where(r => r != 0))
            {
                foreach (var va in new[] { process.Peb + 0x20, process.ImageBase, process.ImageBase + 0x1000, process.ImageBase + 0x2000, process.ImageBase + 0x3000, UserSpace.SharedUserDataAddress, process.Eprocess,
                    image.Processors[0].Idt, image.Processors[0].Kpcr, image.Kernel.Base, image.Kernel.Base + image.Kernel.KvaCode.Rva, (process.Peb & ~0x1FFFFFUL) + 0x80000, random.Next(1UL << 47) })
                    Add(root, va);
                foreach (var thread in process.Threads)
                    Add(root, thread.Teb);
            }
        }
        return list;
    }
}
