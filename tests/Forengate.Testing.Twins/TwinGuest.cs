using Forengate.Lab.Machine;

namespace Forengate.Testing.Twins;

/// <summary>A twin that runs in QEMU, with its truth beside it. Disposing it ends the machine.</summary>
public sealed class TwinGuest : IDisposable
{
    private TwinGuest(TwinMachine machine, TwinTruth truth)
    {
        Machine = machine;
        Truth = truth;
    }

    public TwinMachine Machine { get; }

    public TwinTruth Truth { get; }

    /// <summary>The guest as Forengate's commands take it.</summary>
    public string Target => $"qmp:{Machine.QmpSocket}";

    /// <summary>Boots an image of <see cref="TwinImages"/>; several machines may run from one image.</summary>
    public static TwinGuest Start(string image, MachineOptions? options = null)
    {
        var folder = TwinFolders.New();
        foreach (var file in new[] { "boot.json", "truth.json", "pfn.bin" })
            File.Copy(Path.Combine(image, file), Path.Combine(folder, file));
        Directory.CreateSymbolicLink(Path.Combine(folder, "memory"), Path.Combine(image, "memory"));
        return new TwinGuest(TwinMachine.Start(SavedPlan.Load(folder), options), TwinTruth.Read(folder));
    }

    /// <summary>Boots a plan that a test has changed.</summary>
    public static TwinGuest Start(BootPlan plan, TwinTruth truth, MachineOptions? options = null) => new(TwinMachine.Start(plan, TwinFolders.New(), options), truth);

    /// <summary>Stops all CPUs and returns their registers as QEMU prints them.</summary>
    public IReadOnlyList<CpuRegisters> StopAndReadRegisters()
    {
        using var monitor = Machine.OpenMonitor();
        monitor.Execute("stop");
        return CpuRegisters.ParseAll(monitor.Hmp("info registers -a"));
    }

    /// <summary>QEMU's own run state: "running", "paused".</summary>
    public string State => Machine.Qmp("query-status").GetProperty("status").GetString()!;

    /// <summary>Has QEMU itself write the guest's memory to a file.</summary>
    /// <param name="path">Full path of the file.</param>
    /// <param name="format">"elf", "win-dmp", "kdump-zlib" …</param>
    public void DumpByQemu(string path, string format)
    {
        using var monitor = Machine.OpenMonitor();
        monitor.Execute(
            "dump-guest-memory", new System.Text.Json.Nodes.JsonObject { ["paging"] = false, ["protocol"] = $"file:{path}", ["format"] = format }, TimeSpan.FromMinutes(2));
    }

    public void Dispose() => Machine.Dispose();
}
