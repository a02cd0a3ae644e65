using System.Diagnostics;
using System.Text.Json.Nodes;
using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Testing;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Formats;

/// <summary>From every format that we read, made by QEMU, by an independent program or by ourselves of one stopped twin: dumps that the debugger engine opens, and every other format with the same memory in it.</summary>
public sealed class EverySourceTests
{
    /// <summary>What is converted from, and whether it carries registers.</summary>
    private static readonly (string Name, bool Registers)[] Sources =
    [
        ("elf", true), ("kdump", true), ("qevm", true), ("kdump-zstd", true), ("kdump-zlib", true), ("own-elf", true), ("lime", false), ("raw", false),
        ("guest.avml", false), ("guest.vmem", false), ("guest-1.vmsn", false),
    ];

    [Fact]
    public void Complete_and_bitmap_dumps_of_every_source_open_in_the_debugger_engine()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "20348", "--cpus", "2", "--cpu-modes", "mixed", "--memory", "128"));
        var registers = twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        var cancellation = TestContext.Current.CancellationToken;
        using (var monitor = twin.Machine.OpenMonitor())
        {
            monitor.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
            foreach (var (name, format) in new[] { ("elf", "elf"), ("kdump", "kdump-zlib") })
                monitor.Execute("dump-guest-memory", new JsonObject { ["paging"] = false, ["protocol"] = $"file:{In(name)}", ["format"] = format }, TimeSpan.FromMinutes(2));
            Migration.ToFile(monitor, In("qevm"));
        }

        // Made by a program that shares no code with the readers.
        using (var foreign = Process.Start(new ProcessStartInfo("/usr/bin/python3", [Checkout.PathOf("eng/foreign-images"), In("memory.raw"), folder])))
        {
            foreign!.WaitForExit();
            Assert.Equal(0, foreign.ExitCode);
        }

        var differences = new Differences();
        // All registers are in the stream only, so that is what the others are made of.
        foreach (var (name, format) in new[] { ("own-elf", "elf"), ("kdump-zstd", "kdump-zstd"), ("kdump-zlib", "kdump-zlib"), ("lime", "lime"), ("raw", "raw") })
        {
            var made = ConvertJob.Run(In("qevm"), In(name), ConvertFormat.ByName(format)!, new TargetOptions(), null, cancellation);
            differences.None($"{name}, incomplete", made.Incomplete);
        }
        using (var memory = new OneMemory(In("memory.raw"), In("qevm"), twin.Truth))
        {
            foreach (var name in new[] { "own-elf", "kdump-zstd", "kdump-zlib" })
                memory.Compare(differences, name, In(name));
            foreach (var name in new[] { "lime", "raw", "guest.avml", "guest.vmem", "guest-1.vmsn" })
                memory.Compare(differences, name, In(name), registers: false, Options(name));
        }
        foreach (var (name, hasRegisters) in Sources)
        {
            foreach (var kind in new[] { DumpKind.Full, DumpKind.Bitmap })
            {
                var dump = In($"{name}.{kind}.dmp");
                var outcome = DumpJob.Run(In(name), dump, Options(name), new DumpOptions { Kind = kind }, null, cancellation);
                if (hasRegisters)
                    differences.None($"{name} to {kind}, gap", outcome.Result.Plan.Gaps);
                if (hasRegisters)
                    differences.None($"{name} to {kind}, our check", DumpCheck.Of(dump, cancellation).Findings.Select(finding => finding.Text));
                if (!DebuggerEngine.Accepted)
                    continue;
                var verdict = DebuggerEngine.Judge(dump, EngineCheck.Questions(twin.Truth));
                if (hasRegisters)
                    EngineCheck.Verdict(differences, twin.Truth, registers, verdict);
                differences.Require($"engine opened {name} to {kind}", verdict.Opened, verdict.Refusal ?? "no");
                differences.Expect($"engine: kernel base, {name} to {kind}", twin.Truth.Kernel.Base, verdict.Target.KernelBase);
                differences.Expect($"engine: modules, {name} to {kind}", twin.Truth.Drivers.Count(driver => !driver.Hidden), verdict.Modules.Count);
                File.Delete(dump);
            }
        }
        Directory.Delete(folder, recursive: true);
        differences.AssertNone();
        DebuggerEngine.SkipUnlessAccepted();
    }

    private static TargetOptions Options(string name) => name == "raw" ? new TargetOptions { Format = "raw" } : new TargetOptions();
}
