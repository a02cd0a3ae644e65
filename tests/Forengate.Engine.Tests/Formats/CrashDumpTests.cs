using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Formats;

/// <summary>Dumps of one stopped twin in every kind, ours and those that the debugger engine writes of ours: the same memory, registers and lists, and dumps made of dumps that are as good.</summary>
public sealed class CrashDumpTests
{
    private static readonly string[] General =
        ["Rax", "Rbx", "Rcx", "Rdx", "Rsi", "Rdi", "Rsp", "Rbp", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "Rip"];

    [Theory, InlineData("7601"), InlineData("19041")]
    public void A_dump_gives_back_the_guest_and_a_dump_of_it_is_the_same(string build)
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", build, "--cpus", "3", "--cpu-modes", "mixed", "--memory", "128"));
        var registers = twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        var raw = In("memory.raw");
        twin.Machine.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{raw}\"");
        twin.DumpByQemu(In("elf"), "elf");

        var differences = new Differences();
        using (var memory = new OneMemory(raw, In("elf"), twin.Truth))
        {
            var patched = Write(differences, twin.Target, In("full"), DumpKind.Full);
            Write(differences, twin.Target, In("bitmap"), DumpKind.Bitmap);
            Write(differences, In("full"), In("full-of-full"), DumpKind.Full);
            Write(differences, In("full"), In("bitmap-of-full"), DumpKind.Bitmap);
            Write(differences, In("bitmap"), In("full-of-bitmap"), DumpKind.Full);
            foreach (var name in new[] { "full", "bitmap", "full-of-full", "bitmap-of-full", "full-of-bitmap" })
            {
                using var examination = Examination.Open(In(name), new TargetOptions(), null, TestContext.Current.CancellationToken);
                differences.None($"{name}, damage", examination.View.Origin.Damage);
                memory.Memory(differences, name, examination.View.Memory, patched);
                Registers(differences, name, twin.Truth, registers, examination.Cpus);
                TruthCheck.Lists(differences, twin.Truth, examination, name);
            }
            foreach (var name in new[] { "full-of-full", "full-of-bitmap" })
                SameBytes(differences, name, In("full"), In(name));
            SameBytes(differences, "bitmap-of-full", In("bitmap"), In("bitmap-of-full"));
            Cut(differences, twin.Truth, In("full"), In("cut"));
            // What becomes of the dump as another format has the registers that were in its memory.
            foreach (var (name, from) in new[] { ("core-of-full", "full"), ("core-of-bitmap", "bitmap") })
            {
                ConvertJob.Run(In(from), In(name), ConvertFormat.ByName("elf")!, new TargetOptions(), null, TestContext.Current.CancellationToken);
                using var core = ImageReader.Open(In(name));
                memory.Memory(differences, name, core.Memory, patched);
                GeneralRegisters(differences, name, registers, core.Cpus);
            }
            if (DebuggerEngine.Accepted)
            {
                foreach (var name in new[] { "bitmap", "bitmap-of-full", "full-of-bitmap" })
                    EngineCheck.Verdict(differences, twin.Truth, registers, DebuggerEngine.Judge(In(name), EngineCheck.Questions(twin.Truth)));
            }
        }
        Directory.Delete(folder, recursive: true);
        differences.AssertNone();
        DebuggerEngine.SkipUnlessAccepted();
    }

    [Fact]
    public void What_the_engine_writes_of_a_dump_is_read_as_the_same_guest()
    {
        DebuggerEngine.SkipUnlessAccepted();
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--cpus", "2", "--cpu-modes", "kernel", "--memory", "128", "--bugcheck", "d1,8,2,1,fffff80012345678"));
        var registers = twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        var differences = new Differences();
        Write(differences, twin.Target, In("full"), DumpKind.Full);
        string[] commands = [$".dump /o /f Z:{In("f")}", $".dump /o /k Z:{In("k")}", $".dump /o /m Z:{In("m")}"];
        var verdict = DebuggerEngine.Judge(In("full"), commands);
        foreach (var command in commands)
            differences.Require(command, verdict[command].Contains("Dump successfully written", StringComparison.Ordinal), verdict[command]);

        // The engine does not finish a dump of type 9 without the kernel's symbols; its layout is type 8's.
        File.Copy(In("k"), In("ka"));
        using (var file = File.OpenWrite(In("ka")))
        {
            file.Position = CrashDumpLayout64.DumpType;
            file.WriteByte((byte)CrashDumpType.KernelAndUserMemory);
        }
        differences.Require("ka, engine", DebuggerEngine.Judge(In("ka")) is { Opened: true, Registers.Count: 2 }, "not opened as the same guest");

        using (var full = ImageReader.Open(In("full")))
        {
            foreach (var (name, kind) in new[] { ("f", "64-bit complete range"), ("k", "64-bit kernel range"), ("ka", "64-bit kernel and user range") })
            {
                using (var examination = Examination.Open(In(name), new TargetOptions(), null, TestContext.Current.CancellationToken))
                {
                    differences.Expect($"{name}, format", $"Windows crash dump, {kind}", examination.View.Origin.Format);
                    differences.None($"{name}, damage", examination.View.Origin.Damage);
                    SamePages(differences, name, full.Memory, examination.View.Memory, all: name == "f");
                    Registers(differences, name, twin.Truth, registers, examination.Cpus);
                    differences.Expect($"{name}, processes", twin.Truth.Processes.Count(process => process.Listed), examination.Processes(false, null, CancellationToken.None).Items.Count);
                    differences.Expect($"{name}, drivers", twin.Truth.Drivers.Count(driver => !driver.Hidden), examination.Drivers(false, null, CancellationToken.None).Items.Count);
                }
                var report = DumpCheck.Of(In(name), TestContext.Current.CancellationToken);
                differences.None($"{name}, check", report.Findings.Where(finding => finding.Severity == CheckSeverity.Error).Select(finding => finding.Text));
                // A bitmap dump of what the engine wrote is opened by the engine as the same guest.
                DumpJob.Run(In(name), In($"{name}-bitmap"), new TargetOptions(), new DumpOptions { Kind = DumpKind.Bitmap }, null, TestContext.Current.CancellationToken);
                EngineCheck.Verdict(differences, twin.Truth, registers, DebuggerEngine.Judge(In($"{name}-bitmap"), EngineCheck.Questions(twin.Truth)));
            }
        }
        Small(differences, twin.Truth, registers, In("m"));
        Directory.Delete(folder, recursive: true);
        differences.AssertNone();
    }

    /// <summary>A dump that was cut off is read as far as it goes; as a bitmap dump it says what it lacks, as a complete one it would have zeros there.</summary>
    private static void Cut(Differences differences, TwinTruth truth, string whole, string cut)
    {
        // Little, because a twin's pool lies at the end of its memory, and the lists are to be whole.
        const int LostBytes = 64 << 10;
        File.Copy(whole, cut);
        using (var file = File.OpenWrite(cut))
            file.SetLength(file.Length - LostBytes);
        using (var examination = Examination.Open(cut, new TargetOptions(), null, TestContext.Current.CancellationToken))
        {
            differences.Require("cut, damage", examination.Damage.Any(line => line.Contains("pages are missing", StringComparison.Ordinal)), string.Join(", ", examination.Damage));
            TruthCheck.Lists(differences, truth, examination, "cut");
        }
        var outcome = DumpJob.Run(cut, $"{cut}-bitmap", new TargetOptions(), new DumpOptions { Kind = DumpKind.Bitmap }, null, TestContext.Current.CancellationToken);
        differences.Expect("cut-bitmap, missing pages", (ulong)LostBytes / Page.Size, outcome.Result.MissingPages);
        var report = DumpCheck.Of($"{cut}-bitmap", TestContext.Current.CancellationToken);
        differences.None("cut-bitmap, check", report.Findings.Where(finding => finding.Severity != CheckSeverity.Note).Select(finding => finding.Text));
        using var view = ImageReader.Open($"{cut}-bitmap");
        differences.Expect("cut-bitmap, last page", PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(truth.Memory.Runs[^1].FirstPage + truth.Memory.Runs[^1].Pages - 1)));
    }

    /// <returns>Pages that the plan changed.</returns>
    private static HashSet<ulong> Write(Differences differences, string target, string output, DumpKind kind)
    {
        var outcome = DumpJob.Run(target, output, new TargetOptions(), new DumpOptions { Kind = kind, Comment = "one" }, null, TestContext.Current.CancellationToken);
        var name = Path.GetFileName(output);
        differences.None($"{name}, gap", outcome.Result.Plan.Gaps);
        differences.None($"{name}, disagreement", outcome.Result.Plan.Disagreements);
        differences.Expect($"{name}, missing", 0UL, outcome.Result.MissingPages);
        var report = DumpCheck.Of(output, TestContext.Current.CancellationToken);
        differences.None($"{name}, check", report.Findings.Select(finding => finding.Text));
        differences.Expect($"{name}, kind", kind == DumpKind.Bitmap ? "64-bit full bitmap dump" : "64-bit complete dump", report.Kind);
        return [.. outcome.Result.Plan.Patches.Select(patch => patch.Address.PageStart.Value)];
    }

    private static void Registers(Differences differences, string name, TwinTruth truth, IReadOnlyList<CpuRegisters> qemu, IReadOnlyList<CpuState> cpus)
    {
        GeneralRegisters(differences, name, qemu, cpus);
        for (var i = 0; i < Math.Min(qemu.Count, cpus.Count); i++)
        {
            var atStart = truth.Cpus[i].Registers;
            differences.Expect($"{name}, CPU {i}, CR3", atStart.Cr3, cpus[i].Cr3);
            differences.Expect($"{name}, CPU {i}, GS base", atStart.GsBase, cpus[i].Gs?.Base);
            differences.Expect($"{name}, CPU {i}, KERNEL_GS_BASE", atStart.KernelGsBase, cpus[i].KernelGsBase);
            differences.Expect($"{name}, CPU {i}, LSTAR", atStart.LStar, cpus[i].LStar);
        }
    }

    private static void GeneralRegisters(Differences differences, string name, IReadOnlyList<CpuRegisters> qemu, IReadOnlyList<CpuState> cpus)
    {
        differences.Expect($"{name}, CPUs", qemu.Count, cpus.Count);
        for (var i = 0; i < Math.Min(qemu.Count, cpus.Count); i++)
        {
            foreach (var register in General)
                differences.Expect($"{name}, CPU {i}, {register}", qemu[i][register.ToUpperInvariant()], (ulong?)typeof(CpuState).GetProperty(register)!.GetValue(cpus[i]));
            differences.Expect($"{name}, CPU {i}, CS", qemu[i].Selectors["CS"], (ulong?)cpus[i].Cs?.Selector);
            differences.Expect($"{name}, CPU {i}, GS", qemu[i].Selectors["GS"], (ulong?)cpus[i].Gs?.Selector);
        }
    }

    private static void SamePages(Differences differences, string name, PhysicalMemory expected, PhysicalMemory memory, bool all)
    {
        byte[] a = new byte[Page.Size], b = new byte[Page.Size];
        var (wrong, read) = (0, 0);
        foreach (var range in expected.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                if (!all && memory.StateOf(at) is PageState.Excluded or PageState.Missing)
                    continue;
                read++;
                if (!expected.TryRead(at, a) || !memory.TryRead(at, b) || !a.AsSpan().SequenceEqual(b))
                    wrong++;
            }
        }
        differences.Expect($"{name}, wrong pages", 0, wrong);
        differences.Require($"{name}, pages read", read > 500, $"only {read}");
    }

    private static void SameBytes(Differences differences, string name, string first, string second)
    {
        using FileStream a = File.OpenRead(first), b = File.OpenRead(second);
        differences.Expect($"{name}, length", a.Length, b.Length);
        byte[] x = new byte[1 << 20], y = new byte[1 << 20];
        for (var at = 0L; at < a.Length; at += x.Length)
        {
            var length = a.ReadAtLeast(x, x.Length, throwOnEndOfStream: false);
            b.ReadAtLeast(y, y.Length, throwOnEndOfStream: false);
            if (x.AsSpan(0, length).CommonPrefixLength(y.AsSpan(0, length)) is var same && same < length)
            {
                differences.Require(name, false, $"other bytes from 0x{at + same:x} on");
                return;
            }
        }
    }

    /// <summary>The engine's small dump is of the processor it stood on: the one whose registers it holds.</summary>
    private static void Small(Differences differences, TwinTruth truth, IReadOnlyList<CpuRegisters> qemu, string path)
    {
        using var examination = Examination.Open(path, new TargetOptions(), null, TestContext.Current.CancellationToken);
        Assert.NotNull(examination.Small);
        var small = examination.Small;
        var cpu = truth.Cpus[Assert.NotNull(small.Processor)];
        differences.None("small, damage", examination.Damage);
        differences.Expect("small, stop code", 0xD1u, small.BugCheck?.Code);
        differences.Expect("small, rip", qemu[cpu.Index]["RIP"], small.InstructionPointer?.Value);
        differences.Expect("small, rsp", qemu[cpu.Index]["RSP"], small.StackPointer?.Value);
        differences.Expect("small, thread", cpu.CurrentThread, small.Thread?.Value);
        differences.Expect("small, EPROCESS", cpu.CurrentProcess, small.Process?.Address.Value);
        differences.Expect("small, PID", (ulong)cpu.CurrentPid, small.Process?.Id);
        var process = truth.Processes.Single(process => process.Eprocess == cpu.CurrentProcess);
        differences.Expect("small, name", process.ShortName, small.Process?.Name);
        differences.Expect("small, created", process.CreateTime, small.Process?.CreateTime?.UtcDateTime);
        differences.Expect("small, parent", (ulong)process.ParentPid, small.Process?.ParentId);
        differences.Match("small, driver", truth.Drivers.Where(driver => !driver.Hidden), driver => driver.Base, small.Drivers, driver => driver.Base.Value, (expected, driver) =>
        {
            differences.Expect($"small, path of {expected.Name}", expected.Path, driver.Path);
            differences.Expect($"small, size of {expected.Name}", expected.Size, (ulong)driver.Size);
        });
        differences.None("small, check", DumpCheck.Of(path, TestContext.Current.CancellationToken).Findings.Where(finding => finding.Severity == CheckSeverity.Error).Select(finding => finding.Text));
    }
}
