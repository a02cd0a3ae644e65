using System.Buffers.Binary;
using Forengate.Dumps;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Twins;
using Layout = Forengate.Windows.Amd64ContextLayout;

namespace Forengate.Engine.Tests;

/// <summary>
/// Our dump against the one that QEMU itself makes of the same stopped guest, from the header that a driver left in it: the same pages but for what we say we patch, the same registers, the same header where
/// QEMU fills it in (QEMU dump/win_dump.c).
/// </summary>
public sealed class WinDmpTests
{
    private const uint LiveSystemDump = 0x161;

    /// <summary>QEMU's fields of a CONTEXT and their widths. Its floating point is left out: QEMU marks it valid and writes zeros.</summary>
    private static readonly (string Name, int Offset, int Width)[] ContextFields =
    [
        ("ContextFlags", Layout.ContextFlags, 4), ("MxCsr", Layout.MxCsr, 4), ("SegCs", Layout.SegCs, 2), ("SegDs", Layout.SegDs, 2), ("SegEs", Layout.SegEs, 2), ("SegFs", Layout.SegFs, 2),
        ("SegGs", Layout.SegGs, 2), ("SegSs", Layout.SegSs, 2), ("EFlags", Layout.EFlags, 4), ("Dr0", Layout.Dr0, 8), ("Dr1", Layout.Dr1, 8), ("Dr2", Layout.Dr2, 8), ("Dr3", Layout.Dr3, 8),
        ("Dr6", Layout.Dr6, 8), ("Dr7", Layout.Dr7, 8), ("Rax", Layout.Rax, 8), ("Rcx", Layout.Rcx, 8), ("Rdx", Layout.Rdx, 8), ("Rbx", Layout.Rbx, 8), ("Rsp", Layout.Rsp, 8), ("Rbp", Layout.Rbp, 8),
        ("Rsi", Layout.Rsi, 8), ("Rdi", Layout.Rdi, 8), ("R8", Layout.R8, 8), ("R9", Layout.R8 + 8, 8), ("R10", Layout.R8 + 16, 8), ("R11", Layout.R8 + 24, 8), ("R12", Layout.R8 + 32, 8),
        ("R13", Layout.R8 + 40, 8), ("R14", Layout.R8 + 48, 8), ("R15", Layout.R8 + 56, 8), ("Rip", Layout.Rip, 8),
    ];

    [Theory]
    [InlineData("--build 7601 --kdbg plain --kva off --cpus 2 --cpu-modes user --low-memory 128", LiveSystemDump)]
    [InlineData("--build 9600 --kdbg plain --kva on --cpus 1 --cpu-modes entry --low-memory 128", LiveSystemDump)]
    [InlineData("--build 14393 --kdbg plain --kva on --cpus 2 --cpu-modes kernel --low-memory 64 --bugcheck d1,ffff800012345678,2,1,fffff80312345678", 0xD1)]
    [InlineData("--build 19041 --kdbg encoded --kva on --cpus 2 --cpu-modes mixed --low-memory 128", LiveSystemDump)]
    [InlineData("--build 20348 --kdbg encoded --kva on --cpus 3 --cpu-modes mixed --low-memory 64", LiveSystemDump)]
    [InlineData("--build 22000 --kdbg encoded --kva off --cpus 8 --cpu-modes mixed --low-memory 128", LiveSystemDump)]
    public void QEMU_s_own_dump_of_the_same_stopped_twin_agrees_in_pages_contexts_and_header(string options, uint stopCode)
    {
        using var twin = TwinGuest.Start(TwinImages.Get([.. options.Split(' '), "--memory", "128", "--note"]), new MachineOptions { VmCoreInfo = true });
        twin.StopAndReadRegisters();
        var folder = TwinFolders.New();
        var (theirs, ours) = (Path.Combine(folder, "qemu.dmp"), Path.Combine(folder, "forengate.dmp"));
        var differences = new Differences();
        try
        {
            twin.DumpByQemu(theirs, "win-dmp");
            var outcome = DumpJob.Run(twin.Target, ours, new TargetOptions(), new DumpOptions(), null, TestContext.Current.CancellationToken);
            Assert.Equal("paused", twin.State);

            using var qemu = CrashDumpImage.Open(theirs);
            using var forengate = CrashDumpImage.Open(ours);
            Headers(differences, twin.Truth, stopCode, qemu.Header64, forengate.Header64);
            Pages(differences, outcome.Result.Plan.Patches, qemu, forengate);
            Contexts(differences, twin.Truth, theirs, ours);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        differences.AssertNone();
    }

    [Fact]
    public void The_check_takes_the_driver_s_copy_of_the_debugger_block_only_while_it_is_one()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128", "--note"), new MachineOptions { VmCoreInfo = true });
        var folder = TwinFolders.New();
        var dump = Path.Combine(folder, "qemu.dmp");
        try
        {
            twin.DumpByQemu(dump, "win-dmp");
            var findings = DumpCheck.Of(dump, TestContext.Current.CancellationToken).Findings;
            Assert.DoesNotContain(findings, finding => finding.Severity == CheckSeverity.Error);
            Assert.Contains(findings, finding => finding is { Severity: CheckSeverity.Note, Code: CheckCode.DebuggerData });
            // QEMU 7.2's own fault.
            Assert.Contains(findings, finding => finding is { Severity: CheckSeverity.Warning, Code: CheckCode.PfnDatabase });

            // The offset of the TEB in a thread, as good as any that nothing else in the dump contradicts.
            Change(dump, new VirtualAddress(twin.Truth.Note!.DebuggerBlock + 0x29A));
            findings = DumpCheck.Of(dump, TestContext.Current.CancellationToken).Findings;
            Assert.Contains(findings, finding => finding is { Severity: CheckSeverity.Error, Code: CheckCode.DebuggerData });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Change(string dump, VirtualAddress address)
    {
        PhysicalAddress place;
        using (var examination = Examination.Open(dump, new TargetOptions(), null, TestContext.Current.CancellationToken))
            place = examination.Windows.System!.Kernel.Translate(address).Address;
        ulong offset;
        using (var image = CrashDumpImage.Open(dump))
        {
            var placed = image.Runs.Runs.Single(placed => place.Frame - placed.Run.BasePage < placed.PagesInFile);
            offset = placed.FileOffset + ((place.Frame - placed.Run.BasePage) << Page.Shift) + (ulong)place.PageOffset;
        }
        using var file = File.Open(dump, FileMode.Open, FileAccess.ReadWrite);
        file.Position = (long)offset;
        var value = file.ReadByte();
        file.Position = (long)offset;
        file.WriteByte((byte)~value);
    }

    private static void Headers(Differences differences, TwinTruth truth, uint stopCode, CrashDumpHeader64 qemu, CrashDumpHeader64 forengate)
    {
        // What QEMU fills in.
        differences.Expect("RequiredDumpSpace", qemu.RequiredDumpSpace, forengate.RequiredDumpSpace);
        differences.Expect("QEMU's stop code", stopCode, qemu.BugCheckCode);
        differences.Expect("stop code", qemu.BugCheckCode, forengate.BugCheckCode);
        differences.Expect("parameter 1", qemu.BugCheckParameter1, forengate.BugCheckParameter1);
        differences.Expect("parameter 2", qemu.BugCheckParameter2, forengate.BugCheckParameter2);
        differences.Expect("parameter 3", qemu.BugCheckParameter3, forengate.BugCheckParameter3);
        differences.Expect("parameter 4", qemu.BugCheckParameter4, forengate.BugCheckParameter4);
        foreach (var padding in new[] { CrashDumpLayout64.BugCheckPadding, CrashDumpLayout64.NumberOfRunsPadding, CrashDumpLayout64.DumpTypePadding })
            differences.Expect($"alignment at 0x{padding:x}", BinaryPrimitives.ReadUInt32LittleEndian(qemu.Bytes[padding..]), BinaryPrimitives.ReadUInt32LittleEndian(forengate.Bytes[padding..]));
        // QEMU 7.2 stores the address of the variable, and takes the driver's copy of the block where the real one is encoded.
        differences.Expect("QEMU's PfnDataBase", truth.Global("MmPfnDatabase"), qemu.PfnDataBase);
        differences.Expect("PfnDataBase", truth.Memory.PfnDatabase, forengate.PfnDataBase);
        differences.Expect("QEMU's KdDebuggerDataBlock", truth.Kdbg.Encoded ? truth.Note!.DebuggerBlock : truth.Kdbg.Va, qemu.KdDebuggerDataBlock);
        differences.Expect("KdDebuggerDataBlock", truth.Kdbg.Va, forengate.KdDebuggerDataBlock);

        // What it takes from the guest's own header.
        differences.Expect("MajorVersion", qemu.MajorVersion, forengate.MajorVersion);
        differences.Expect("MinorVersion", qemu.MinorVersion, forengate.MinorVersion);
        differences.Expect("DirectoryTableBase", qemu.DirectoryTableBase, forengate.DirectoryTableBase);
        differences.Expect("PsLoadedModuleList", qemu.PsLoadedModuleList, forengate.PsLoadedModuleList);
        differences.Expect("PsActiveProcessHead", qemu.PsActiveProcessHead, forengate.PsActiveProcessHead);
        differences.Expect("MachineImageType", qemu.MachineImageType, forengate.MachineImageType);
        differences.Expect("NumberProcessors", qemu.NumberProcessors, forengate.NumberProcessors);
        differences.Expect("NumberOfPages", qemu.NumberOfPages, forengate.NumberOfPages);
        differences.Expect("DumpType", (uint)qemu.DumpType, (uint)forengate.DumpType);
        differences.Expect("SystemTime", qemu.SystemTime, forengate.SystemTime);
        differences.Expect("SystemUpTime", qemu.SystemUpTime, forengate.SystemUpTime);
        differences.Expect("ProductType", qemu.ProductType, forengate.ProductType);
        differences.Expect("SuiteMask", qemu.SuiteMask, forengate.SuiteMask);
        differences.Expect("BootId", qemu.BootId, truth.Times.BootId is null ? CrashDumpHeader64.Filler : forengate.BootId);
    }

    /// <summary>The same runs, and in them no byte that differs but where we say that we wrote our own; QEMU writes only to the contexts, which are among those.</summary>
    private static void Pages(Differences differences, IReadOnlyList<DumpPatch> patches, CrashDumpImage qemu, CrashDumpImage forengate)
    {
        static string Text(CrashDumpImage dump) => string.Join(", ", dump.Runs.Runs.Select(placed => $"0x{placed.Run.BasePage:x}+0x{placed.PagesInFile:x} at 0x{placed.FileOffset:x}"));
        differences.Expect("runs", Text(qemu), Text(forengate));
        differences.Expect("file size", qemu.FileLength, forengate.FileLength);
        differences.AssertNone();

        // Only special registers may happen to be what memory holds already: of a CPU at rest in the kernel.
        var same = new HashSet<string>(patches.Select(patch => patch.Reason).Where(reason => !reason.StartsWith("SpecialRegisters", StringComparison.Ordinal)));
        foreach (var placed in qemu.Runs.Runs)
        {
            for (var page = 0UL; page < placed.PagesInFile; page++)
            {
                var offset = placed.FileOffset + (page << Page.Shift);
                var a = qemu.Bytes(offset, Page.Size);
                var b = forengate.Bytes(offset, Page.Size);
                var frame = placed.Run.BasePage + page;
                var here = patches.Where(patch => patch.Address.Frame == frame).ToArray();
                foreach (var patch in here)
                    differences.Require($"{patch.Reason} at {patch.Address}", b.Slice(patch.Address.PageOffset, patch.Bytes.Length).SequenceEqual(patch.Bytes.Span), "is not in the dump");
                if (a.SequenceEqual(b))
                    continue;
                for (var i = 0; i < Page.Size; i++)
                {
                    if (a[i] == b[i])
                        continue;
                    var owner = here.FirstOrDefault(patch => i >= patch.Address.PageOffset && i < patch.Address.PageOffset + patch.Bytes.Length);
                    differences.Require($"byte at 0x{(frame << Page.Shift) + (ulong)i:x}", owner is not null, $"{a[i]:x2} in QEMU's dump, {b[i]:x2} in ours");
                    if (owner is not null)
                        same.Remove(owner.Reason);
                }
            }
        }
        differences.None("patched, but QEMU's dump has the same there", same);
    }

    /// <summary>Both dumps are read as any reader would, by the system's tables: what the KPRCB's pointer leads to holds the same registers.</summary>
    private static void Contexts(Differences differences, TwinTruth truth, string theirs, string ours)
    {
        using var qemu = Examination.Open(theirs, new TargetOptions(), null, TestContext.Current.CancellationToken);
        using var forengate = Examination.Open(ours, new TargetOptions(), null, TestContext.Current.CancellationToken);
        Assert.NotNull(qemu.Windows.System);
        Assert.NotNull(forengate.Windows.System);
        byte[] a = new byte[Layout.Size], b = new byte[Layout.Size];
        foreach (var cpu in truth.Cpus)
        {
            Assert.True(qemu.Windows.System.Kernel.TryRead(new VirtualAddress(cpu.Context), a));
            Assert.True(forengate.Windows.System.Kernel.TryRead(new VirtualAddress(cpu.Context), b));
            differences.Expect($"CPU {cpu.Index}: R12 in QEMU's dump", cpu.Registers.R12, BinaryPrimitives.ReadUInt64LittleEndian(a.AsSpan(Layout.R8 + 32)));
            foreach (var (name, offset, width) in ContextFields)
                differences.Expect($"CPU {cpu.Index}: {name}", Number(a.AsSpan(offset, width)), Number(b.AsSpan(offset, width)));
        }
    }

    private static ulong Number(ReadOnlySpan<byte> bytes)
    {
        ulong value = 0;
        for (var i = bytes.Length - 1; i >= 0; i--)
            value = value << 8 | bytes[i];
        return value;
    }
}
