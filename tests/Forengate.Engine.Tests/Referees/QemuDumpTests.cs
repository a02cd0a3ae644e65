using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Referees;

/// <summary>The same stopped twin, dumped by us from the live guest, from QEMU's ELF core and from raw memory, and by QEMU itself.</summary>
public sealed class QemuDumpTests
{
    // Offsets in CONTEXT (winnt.h, AMD64): from SegCs to the end of Rip, then XMM6 to XMM9.
    private const int SegCs = 0x38, AfterRip = 0x100, MxCsr = 0x34, Xmm6 = 0x200, AfterXmm9 = 0x240, ContextSize = 0x4D0, SpecialRegistersSize = 0xE0;

    public static TheoryData<string> Families => ["7601", "9600", "14393", "17763", "19041", "20348", "22000"];

    [Theory, MemberData(nameof(Families))]
    public void QEMUs_own_dump_agrees_in_pages_and_contexts(string family)
    {
        var image = TwinImages.Get("--build", family, "--kdbg", "plain", "--cpus", "3", "--cpu-modes", "mixed", "--memory", "128");
        var truth = TwinTruth.Read(image);
        using var twin = TwinGuest.Start(WindowsDumpNote.AddTo(SavedPlan.Load(image).Plan, truth), truth, new MachineOptions { VmCoreInfo = true });
        twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        var (qemu, ours) = (Path.Combine(folder, "qemu.dmp"), Path.Combine(folder, "ours.dmp"));
        try
        {
            Dump(twin.Target, ours);
            twin.DumpByQemu(qemu, "win-dmp");
            using var left = new DumpPages(ours);
            using var right = new DumpPages(qemu);
            Assert.Equal([], Beyond(DumpPages.Differing(left, right), truth, ours));
            foreach (var cpu in truth.Cpus)
            {
                var (mine, its) = (left.Read(cpu.ContextPa, ContextSize), right.Read(cpu.ContextPa, ContextSize));
                Assert.Equal(Convert.ToHexString(its.AsSpan(SegCs..AfterRip)), Convert.ToHexString(mine.AsSpan(SegCs..AfterRip)));
                // QEMU leaves the vector registers out.
                Assert.Equal(cpu.Registers.Xmm6To9, Convert.ToHexStringLower(mine.AsSpan(Xmm6..AfterXmm9)));
                Assert.Equal(Convert.ToHexString(its.AsSpan(MxCsr, 4)), Convert.ToHexString(mine.AsSpan(MxCsr, 4)));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory, InlineData("7601"), InlineData("19041"), InlineData("22000")]
    public void A_dump_from_the_live_guest_from_an_ELF_core_and_from_raw_memory_has_the_same_pages(string family)
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", family, "--cpus", "2", "--cpu-modes", "mixed", "--memory", "128"));
        twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        try
        {
            twin.DumpByQemu(In("core.elf"), "elf");
            twin.Machine.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
            var differences = new Differences();
            var live = Dump(twin.Target, In("live.dmp"));
            var elf = Dump(In("core.elf"), In("elf.dmp"));
            var raw = Dump(In("memory.raw"), In("raw.dmp"), new TargetOptions { Format = "raw" });
            differences.None("live, gap", live.Result.Plan.Gaps);
            differences.None("ELF, gap", elf.Result.Plan.Gaps);
            differences.Require("raw, gaps", raw.Result.Plan.Gaps.Count > 0, "nobody says that there are no registers");
            foreach (var (name, options) in new[] { ("core.elf", new TargetOptions()), ("memory.raw", new TargetOptions { Format = "raw" }), ("elf.dmp", new TargetOptions()), ("raw.dmp", new TargetOptions()) })
            {
                using var examination = Examination.Open(In(name), options, null, TestContext.Current.CancellationToken);
                // A dump has its KDBG in the clear.
                var truth = name.EndsWith(".dmp", StringComparison.Ordinal) ? twin.Truth with { Kdbg = twin.Truth.Kdbg with { Encoded = false } } : twin.Truth;
                TruthCheck.Kernel(differences, truth, examination.Windows.System!);
                TruthCheck.Lists(differences, twin.Truth, examination, name);
            }
            differences.AssertNone();

            using var fromLive = new DumpPages(In("live.dmp"));
            using var fromElf = new DumpPages(In("elf.dmp"));
            using var fromRaw = new DumpPages(In("raw.dmp"));
            Assert.Equal([], Beyond(DumpPages.Differing(fromLive, fromElf), twin.Truth, In("live.dmp")));
            Assert.Equal([], Beyond(DumpPages.Differing(fromLive, fromRaw), twin.Truth, In("live.dmp")));
            foreach (var cpu in twin.Truth.Cpus)
                Assert.Equal(Convert.ToHexString(fromLive.Read(cpu.ContextPa, AfterRip).AsSpan(0x78..)), Convert.ToHexString(fromElf.Read(cpu.ContextPa, AfterRip).AsSpan(0x78..)));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static DumpOutcome Dump(string target, string path, TargetOptions? options = null) =>
        DumpJob.Run(target, path, options ?? new TargetOptions(), new DumpOptions(), null, TestContext.Current.CancellationToken);

    /// <summary>Pages in which two dumps differ though they hold no processor state that a dump writes.</summary>
    private static IEnumerable<string> Beyond(IReadOnlySet<ulong> differing, TwinTruth truth, string dump)
    {
        using var examination = Examination.Open(dump, new TargetOptions(), null, TestContext.Current.CancellationToken);
        var written = new HashSet<ulong>();
        foreach (var cpu in truth.Cpus)
        {
            foreach (var (va, size) in new[] { (cpu.Context, ContextSize), (cpu.ContextFrame, ContextSize), (cpu.SpecialRegisters, SpecialRegistersSize) })
                for (var at = va & ~0xFFFUL; at < va + (ulong)size; at += DumpPages.PageSize)
                    written.Add(examination.Windows.System!.Kernel.Translate(new VirtualAddress(at)).Address.Value);
        }
        return differing.Where(page => !written.Contains(page)).Select(page => $"0x{page:x}");
    }
}
