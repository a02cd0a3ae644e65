using System.Text.Json.Nodes;
using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Formats;

/// <summary>One stopped twin, written by real producers in every format that the installed versions write: every image holds the same bytes, registers and lists.</summary>
public sealed class ProducerTests
{
    private const int Megabytes = 128;

    [Theory, InlineData("pc"), InlineData("q35")]
    public void What_QEMU_writes_of_one_memory_is_the_same_in_every_format(string machine)
    {
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "19041", "--cpus", "3", "--cpu-modes", "mixed", "--memory", $"{Megabytes}"), new MachineOptions { Machine = machine });
        twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        using (var monitor = twin.Machine.OpenMonitor())
        {
            monitor.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
            foreach (var (name, format, paging) in new[] { ("elf", "elf", false), ("paging.elf", "elf", true), ("kdump-zlib", "kdump-zlib", false) })
            {
                var arguments = new JsonObject { ["paging"] = paging, ["protocol"] = $"file:{In(name)}" };
                if (!paging)
                    arguments["format"] = format;
                monitor.Execute("dump-guest-memory", arguments, TimeSpan.FromMinutes(2));
            }
            Migration.ToFile(monitor, In("migration"));
        }

        var differences = new Differences();
        using (var memory = new OneMemory(In("memory.raw"), In("elf"), twin.Truth))
        {
            memory.Compare(differences, "pmemsave", In("memory.raw"), registers: false, new TargetOptions { Format = "raw" });
            memory.Compare(differences, "ELF core", In("elf"));
            memory.Compare(differences, "kdump-zlib", In("kdump-zlib"));
            memory.Compare(differences, "migration stream", In("migration"));
            // Only what the tables map is in a core with paging; what is there must be right.
            using var paging = ImageReader.Open(In("paging.elf"));
            differences.Expect("ELF core with paging, CPUs", twin.Truth.Cpus.Count, paging.Cpus.Count);
        }
        Directory.Delete(folder, recursive: true);
        differences.AssertNone();
    }

    /// <summary>One way a twin: a guest that was stopped for a migration, which a dump without <c>--memory-only</c> is, can't be migrated again.</summary>
    [Theory, InlineData("dump"), InlineData("save")]
    public void What_libvirt_writes_of_one_memory_is_the_same_in_every_format(string verb)
    {
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        using var daemon = LibvirtDaemon.Start(In("lv"));
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "22000", "--cpus", "2", "--cpu-modes", "mixed", "--memory", $"{Megabytes}"), new MachineOptions { LibvirtUri = daemon.Uri, Name = "a-twin" });
        void Virsh(params string[] arguments) => LibvirtDomain.Virsh(daemon.Uri, arguments);
        Virsh("suspend", "a-twin");
        var registers = twin.StopAndReadRegisters();
        twin.Machine.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
        Virsh("dump", "a-twin", In("elf"), "--memory-only", "--format", "elf");
        Virsh("dump", "a-twin", In("kdump-zlib"), "--memory-only", "--format", "kdump-zlib");
        Virsh(verb, "a-twin", In(verb));

        var differences = new Differences();
        using (var memory = new OneMemory(In("memory.raw"), In("elf"), twin.Truth))
        {
            memory.Compare(differences, "virsh dump --memory-only", In("elf"));
            memory.Compare(differences, "virsh dump --format kdump-zlib", In("kdump-zlib"));
            memory.Compare(differences, $"virsh {verb}", In(verb));
        }
        // A small dump has no globals of the kernel to be asked for.
        foreach (var kind in DebuggerEngine.Accepted ? Enum.GetValues<DumpKind>().Where(kind => kind != DumpKind.Small) : [])
        {
            DumpJob.Run(In(verb), In("dmp"), new TargetOptions(), new DumpOptions { Kind = kind }, null, TestContext.Current.CancellationToken);
            EngineCheck.Verdict(differences, twin.Truth, registers, DebuggerEngine.Judge(In("dmp"), EngineCheck.Questions(twin.Truth)));
        }
        daemon.Stop();
        Directory.Delete(folder, recursive: true);
        differences.AssertNone();
        DebuggerEngine.SkipUnlessAccepted();
    }
}
