using System.Globalization;

namespace Forengate.Lab.Machine;

/// <summary>QEMU's command line for a twin, directly started or, in part, through libvirt.</summary>
internal static class QemuArguments
{
    /// <summary>Longest path of a unix socket (sun_path less its end).</summary>
    private const int LongestSocketPath = 107;

    /// <summary>The whole command line.</summary>
    public static List<string> Direct(SavedPlan saved, MachineOptions options, MachinePaths paths)
    {
        var plan = saved.Plan;
        var size = (plan.MemorySize >> 10).ToString(CultureInfo.InvariantCulture) + "k";
        var machine = $"{options.Machine},usb=off{Split(plan)}";
        List<string> arguments =
        [
            "-name", $"guest={Escape(options.Name)}", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", options.SingleThread ? "tcg,thread=single" : "tcg,thread=multi", "-cpu", options.Cpu, "-smp", $"{plan.Cpus.Count}",
            "-m", options.MemorySlots == 0 ? size : $"{size},slots={options.MemorySlots},maxmem=64G", "-bios", paths.Rom,
            "-chardev", $"socket,id=serial0,path={Escape(paths.Serial)},server=on,wait=off", "-device", "isa-serial,chardev=serial0",
            "-vga", options.Vga ? "std" : "none",
        ];
        if (options.VmCoreInfo)
            arguments.AddRange(["-device", "vmcoreinfo"]);
        if (options.NumaNodes > 1)
        {
            foreach (var node in NumaNode.Split(plan, options.NumaNodes))
            {
                arguments.AddRange(["-object", Backend(options, paths, $"ram-node{node.Index}", node.Bytes)]);
                arguments.AddRange(["-numa", $"node,nodeid={node.Index},memdev=ram-node{node.Index}" + (node.Cpus is null ? "" : $",cpus={node.Cpus}")]);
            }
        }
        else if (options.Backend != RamBackend.Anonymous)
        {
            arguments.AddRange(["-object", Backend(options, paths, "pc.ram", plan.MemorySize)]);
            machine += ",memory-backend=pc.ram";
        }
        arguments.AddRange(["-machine", machine]);
        if (options.PanicIsa)
            arguments.AddRange(["-device", "pvpanic"]);
        if (options.Watchdog is { } action)
            arguments.AddRange(["-device", "ib700", "-action", $"watchdog={action}"]);
        if (options.Paused)
            arguments.Add("-S");
        arguments.AddRange(Common(saved, options, paths));
        arguments.AddRange(["-pidfile", paths.PidFile, "-daemonize"]);
        return arguments;
    }

    /// <summary>The machine property that splits RAM, with a comma before it; nothing for RAM in one piece.</summary>
    public static string Split(BootPlan plan) => plan.MemorySize == plan.LowSize ? "" : $",max-ram-below-4g={plan.LowSize}";

    /// <summary>What libvirt has no words for, and what is the same either way.</summary>
    public static List<string> Common(SavedPlan saved, MachineOptions options, MachinePaths paths)
    {
        List<string> arguments = [];
        for (var i = 0; i < saved.SegmentFiles.Count; i++)
            arguments.AddRange(["-device", $"loader,file={Escape(saved.SegmentFiles[i])},addr=0x{saved.Plan.Segments[i].Address:x},force-raw=on"]);
        for (var i = 0; i < paths.Monitors.Count; i++)
            arguments.AddRange(["-chardev", $"socket,id=qmp{i},path={Escape(paths.Monitors[i])},server=on,wait=off", "-mon", $"chardev=qmp{i},mode=control"]);
        // libvirt knows this one from 9.1 on only.
        if (options.PanicPci)
            arguments.AddRange(["-device", $"pvpanic-pci,addr={CrashCode.PanicSlot}"]);
        // There are no interrupts in a twin, so this stays empty until an exception, which it shows with all registers.
        arguments.AddRange(["-d", "int,guest_errors", "-D", paths.Log]);
        arguments.AddRange(options.ExtraArguments);
        return arguments;
    }

    /// <summary>Refuses what QEMU would refuse in other words, or would take and do something else.</summary>
    public static void Check(BootPlan plan, MachineOptions options, MachinePaths paths)
    {
        // pc_init1 and pc_q35_init: RAM below 4 GiB ends here at most, less when there is more RAM than that (GiB aligned).
        var (whole, split) = options.Machine switch
        {
            "pc" => (0xE0000000UL, 0xC0000000UL),
            "q35" => (0xB0000000UL, 0x80000000UL),
            _ => throw new BootPlanException($"machine '{options.Machine}': pc and q35 can be had"),
        };
        var limit = plan.MemorySize > plan.LowSize ? split : whole - 1;
        if (plan.LowSize > limit)
            throw new BootPlanException($"boot plan: 0x{plan.LowSize:X} bytes of RAM below 4 GiB, a {options.Machine} has 0x{limit:X} at most");
        if (options.NumaNodes is < 1 or > 8)
            throw new BootPlanException($"{options.NumaNodes} NUMA nodes, 1 to 8 can be had");
        if (options.Monitors is < 1 or > 4)
            throw new BootPlanException($"{options.Monitors} monitors, 1 to 4 can be had");
        if (options.MemorySlots is < 0 or > 256 || (options.MemorySlots > 0 && options.LibvirtUri is not null))
            throw new BootPlanException("0 to 256 memory slots can be had, and none through libvirt");
        foreach (var socket in paths.Monitors.Append(paths.Serial))
        {
            if (System.Text.Encoding.UTF8.GetByteCount(socket) > LongestSocketPath)
                throw new BootPlanException($"{socket}: too long for a socket's path; use a directory with a shorter name");
        }
    }

    private static string Backend(MachineOptions options, MachinePaths paths, string id, ulong bytes) => options.Backend switch
    {
        RamBackend.Memfd => $"memory-backend-memfd,id={id},size={bytes},share=on",
        RamBackend.File => $"memory-backend-file,id={id},size={bytes},share=on,mem-path={Escape(paths.RamFile(id))}",
        _ => $"memory-backend-ram,id={id},size={bytes}",
    };

    /// <summary>QEMU's option syntax doubles commas.</summary>
    public static string Escape(string value) => value.Replace(",", ",,", StringComparison.Ordinal);
}
