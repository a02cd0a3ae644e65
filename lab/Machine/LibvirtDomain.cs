using System.Globalization;
using System.Xml.Linq;

namespace Forengate.Lab.Machine;

/// <summary>A twin as a transient libvirt domain, made and ended through <c>virsh</c>.</summary>
public static class LibvirtDomain
{
    private static readonly XNamespace Qemu = "http://libvirt.org/schemas/domain/qemu/1.0";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Creates and starts the domain; returns QEMU's process number.</summary>
    /// <exception cref="MachineException">libvirt refused.</exception>
    internal static int Create(SavedPlan saved, MachineOptions options, MachinePaths paths)
    {
        var uri = options.LibvirtUri!;
        File.WriteAllText(paths.DomainXml, Describe(saved, options, paths).ToString());
        List<string> create = ["create", paths.DomainXml, .. options.Paused ? ["--paused"] : Array.Empty<string>()];
        Virsh(uri, create, options.StartBound(saved.Plan.MemorySize));
        for (var deadline = DateTime.UtcNow + TimeSpan.FromSeconds(5); DateTime.UtcNow < deadline; Thread.Sleep(5))
        {
            if (FindByMonitor(paths.Monitors[0]) is { } pid)
                return pid;
        }
        Destroy(uri, options.Name);
        throw new MachineException($"libvirt started '{options.Name}', but its QEMU is not among the processes here: is {uri} another host?");
    }

    /// <summary>Ends the domain if it still exists.</summary>
    public static void Destroy(string uri, string name)
    {
        try
        {
            Virsh(uri, ["destroy", name]);
        }
        catch (MachineException)
        {
            // Gone already, or its daemon is: the process is looked after by the caller.
        }
    }

    /// <exception cref="MachineException">virsh failed, with its reason.</exception>
    public static string Virsh(string uri, IEnumerable<string> arguments, TimeSpan? patience = null)
    {
        var outcome = Launcher.Run("virsh", ["-q", "-c", uri, .. arguments], patience ?? Patience, new Dictionary<string, string> { ["LC_ALL"] = "C" });
        if (outcome.ExitCode != 0)
            throw new MachineException($"virsh {arguments.First()}: {outcome.Error.Trim().ReplaceLineEndings(" ")}");
        return outcome.Output;
    }

    /// <summary>The QEMU process that was told to listen on a socket: its command line holds the path.</summary>
    private static int? FindByMonitor(string socket)
    {
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(directory), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
                continue;
            try
            {
                var words = File.ReadAllText(Path.Combine(directory, "cmdline")).Split('\0');
                if (Path.GetFileName(words[0]).StartsWith("qemu", StringComparison.Ordinal) && words.Any(w => w.Contains($"path={QemuArguments.Escape(socket)},", StringComparison.Ordinal)))
                    return pid;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A process that ended meanwhile, or somebody else's.
            }
        }
        return null;
    }

    internal static XElement Describe(SavedPlan saved, MachineOptions options, MachinePaths paths)
    {
        var plan = saved.Plan;
        var kib = (plan.MemorySize >> 10).ToString(CultureInfo.InvariantCulture);
        var cpu = options.Cpu == "max"
            ? new XElement("cpu", new XAttribute("mode", "maximum"))
            : new XElement("cpu", new XAttribute("mode", "custom"), new XAttribute("match", "exact"), new XElement("model", options.Cpu));
        if (options.NumaNodes > 1)
            cpu.Add(Numa(plan, options.NumaNodes));
        var features = new XElement("features", new XElement("acpi"), new XElement("apic"));
        if (options.VmCoreInfo)
            features.Add(new XElement("vmcoreinfo", new XAttribute("state", "on")));
        var devices = new XElement("devices",
            new XElement("emulator", FindOnPath(options.Qemu)),
            new XElement("controller", new XAttribute("type", "usb"), new XAttribute("model", "none")),
            new XElement("memballoon", new XAttribute("model", "none")),
            new XElement("serial", new XAttribute("type", "unix"),
                new XElement("source", new XAttribute("mode", "bind"), new XAttribute("path", paths.Serial)),
                new XElement("target", new XAttribute("type", "isa-serial"), new XAttribute("port", "0"))));
        if (options.PanicIsa)
            devices.Add(new XElement("panic", new XAttribute("model", "isa")));
        if (options.Watchdog is { } action)
            devices.Add(new XElement("watchdog", new XAttribute("model", "ib700"), new XAttribute("action", action)));
        if (options.Vga)
            devices.Add(new XElement("video", new XElement("model", new XAttribute("type", "vga"))));
        var domain = new XElement("domain", new XAttribute("type", "qemu"), new XAttribute(XNamespace.Xmlns + "qemu", Qemu),
            new XElement("name", options.Name),
            new XElement("memory", new XAttribute("unit", "KiB"), kib),
            Backing(options.Backend),
            new XElement("vcpu", plan.Cpus.Count),
            new XElement("os",
                new XElement("type", new XAttribute("arch", "x86_64"), new XAttribute("machine", options.Machine), "hvm"),
                new XElement("loader", new XAttribute("type", "rom"), new XAttribute("readonly", "yes"), paths.Rom)),
            features, cpu,
            new XElement("on_poweroff", "destroy"), new XElement("on_reboot", "destroy"), new XElement("on_crash", options.OnCrash),
            devices,
            new XElement(Qemu + "commandline",
                new[] { "-machine", "usb=off" + QemuArguments.Split(plan) }.Concat(QemuArguments.Common(saved, options, paths))
                    .Select(a => new XElement(Qemu + "arg", new XAttribute("value", a)))));
        return domain;
    }

    private static XElement? Backing(RamBackend backend) => backend == RamBackend.Anonymous ? null : new XElement("memoryBacking",
        new XElement("source", new XAttribute("type", backend == RamBackend.Memfd ? "memfd" : "file")),
        new XElement("access", new XAttribute("mode", "shared")));

    private static XElement Numa(BootPlan plan, int nodes)
    {
        var numa = new XElement("numa");
        foreach (var node in NumaNode.Split(plan, nodes))
        {
            numa.Add(new XElement("cell", new XAttribute("id", node.Index), new XAttribute("memory", node.Bytes >> 10), new XAttribute("unit", "KiB"),
                node.Cpus is null ? null : new XAttribute("cpus", node.Cpus)));
        }
        return numa;
    }

    private static string FindOnPath(string program)
    {
        if (program.Contains('/', StringComparison.Ordinal))
            return program;
        return (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin").Split(':').Select(d => Path.Combine(d, program)).FirstOrDefault(File.Exists)
            ?? throw new MachineException($"{program} is not on PATH; is it installed?");
    }
}
