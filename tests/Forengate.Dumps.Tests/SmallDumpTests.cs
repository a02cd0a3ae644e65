using System.Buffers.Binary;
using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Referee;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Small dumps that we write, against the twin's truth: by our own reader, which was made for those of Windows and the debugger, by check, and by the debugger engine.</summary>
public sealed class SmallDumpTests
{
    public static TheoryData<string, string[]> Twins => new()
    {
        { "7601", ["--cpus", "2", "--cpu-modes", "kernel"] },
        { "9600", ["--cpus", "8", "--cpu-modes", "mixed", "--kdbg", "encoded"] },
        { "14393", ["--cpus", "1", "--cpu-modes", "user", "--kdbg", "encoded", "--kva", "off"] },
        { "17763", ["--cpus", "4", "--cpu-modes", "kernel", "--kdbg", "encoded", "--kva", "on"] },
        { "19041", ["--cpus", "4", "--cpu-modes", "mixed", "--kdbg", "encoded", "--bugcheck", "d1,8,2,1,fffff80012345678"] },
        { "20348", ["--cpus", "3", "--cpu-modes", "entry", "--memory", "192", "--low-memory", "128"] },
        { "22000", ["--cpus", "2", "--cpu-modes", "kernel"] },
    };

    [Theory]
    [MemberData(nameof(Twins))]
    public void ItIsTheTwinsTruth(string build, string[] options)
    {
        using var twin = new Twin(["--build", build, "--memory", "128", "--drivers", "12", "--processes", "30", .. options]);
        var path = twin["small.dmp"];
        DumpResult result;
        using (var view = twin.OpenView())
            result = DumpWriter.Write(DumpPlan.For(Twin.Find(view), new DumpOptions { Kind = DumpKind.Small }), path, null, TestContext.Current.CancellationToken);
        Assert.True(result.IsComplete, string.Join('\n', result.Plan.Gaps));
        Assert.Equal(result.Bytes, (ulong)new FileInfo(path).Length);
        Assert.InRange(result.Bytes, 64u << 10, 4u << 20);

        var truth = twin.Truth;
        using (var dump = TriageDump.Open(path))
            OurReaderSeesTheTruth(dump, truth);
        Assert.DoesNotContain(DumpChecker.Check(path, null, TestContext.Current.CancellationToken).Findings, finding => finding.Severity != CheckSeverity.Note);

        DebuggerEngine.SkipUnlessAccepted();
        var verdict = DebuggerEngine.Judge(path);
        Assert.True(verdict.Opened, verdict.Refusal);
        Assert.Empty(verdict.Complaints);
        Assert.Contains("Mini Kernel Dump File: Only registers and stack trace are available", verdict.Opening, StringComparison.Ordinal);
        Assert.Equal(Listed(truth).Select(driver => Twin.Number(driver.GetProperty("base"))).Order(), verdict.Modules.Select(module => module.Start).Order());
        Assert.Equal(Twin.Number(truth.GetProperty("kernel").GetProperty("base")), verdict.Target.KernelBase);
        Assert.Equal(
            truth.GetProperty("cpus").EnumerateArray().Select(cpu => (Twin.Number(cpu.GetProperty("registers").GetProperty("rip")), Twin.Number(cpu.GetProperty("registers").GetProperty("rsp")))),
            verdict.Registers.Select(registers => (registers["rip"], registers["rsp"])));
    }

    private static void OurReaderSeesTheTruth(TriageDump dump, JsonElement truth)
    {
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);
        Assert.Empty(small.Damage);
        Assert.Empty(small.ProcessWarnings);
        Assert.Equal(truth.GetProperty("build").GetProperty("number").GetUInt32(), small.Build);
        Assert.Equal((uint)truth.GetProperty("cpus").GetArrayLength(), small.ProcessorCount);
        var cpu = truth.GetProperty("cpus")[small.Processor!.Value];
        Assert.Equal(Twin.Number(cpu.GetProperty("registers").GetProperty("rip")), small.InstructionPointer!.Value.Value);
        Assert.Equal(Twin.Number(cpu.GetProperty("registers").GetProperty("rsp")), small.StackPointer!.Value.Value);
        Assert.Equal(Twin.Number(cpu.GetProperty("registers").GetProperty("gdtBase")), small.Cpu!.Gdtr!.Value.Base);
        Assert.Equal(Twin.Number(cpu.GetProperty("currentThread")), small.Thread!.Value.Value);
        Assert.Equal(Twin.Number(cpu.GetProperty("currentProcess")), small.Process!.Address.Value);
        Assert.Equal(cpu.GetProperty("currentPid").GetUInt64(), small.Process.Id);
        Assert.Equal(
            Listed(truth).Select(driver => (driver.GetProperty("path").GetString()!, Twin.Number(driver.GetProperty("base")), Twin.Number(driver.GetProperty("size")))),
            small.Drivers.Select(driver => (driver.Path, driver.Base.Value, (ulong)driver.Size)));
        Assert.Equal(Convert.FromHexString(truth.GetProperty("kdbg").GetProperty("decoded").GetString()!), dump.KdbgBytes.ToArray());
        var word = new byte[sizeof(ulong)];
        Assert.NotEqual(0, dump.CallStackBytes.Length);
        Assert.True(dump.TryRead(dump.TopOfStack, word));
        foreach (var one in truth.GetProperty("cpus").EnumerateArray())
            Assert.True(dump.TryRead(new VirtualAddress(Twin.Number(one.GetProperty("prcb"))), word));
    }

    [Fact]
    public void UnloadedDriversAreTheNewestFirst()
    {
        const int Ring = 50, EntrySize = 0x28;
        using var twin = new Twin("--build", "19041", "--memory", "128", "--drivers", "8", "--processes", "8", "--cpu-modes", "kernel");
        using var view = twin.OpenView();
        var before = Twin.Find(view);
        // The twin has unloaded none: the ring goes over the code of a driver, its names behind it.
        var memory = new OverlayMemory(view.Memory);
        var kdbg = before.Kdbg!;
        // The last driver's second page: code, which nothing here reads.
        var ring = new VirtualAddress(Listed(twin.Truth).Select(driver => Twin.Number(driver.GetProperty("base"))).Last()) + Page.Size;
        var bytes = new byte[Ring * EntrySize];
        var next = Ring + 2;
        for (var i = 0; i < 3; i++)
        {
            var name = System.Text.Encoding.Unicode.GetBytes($"gone{i}.sys");
            var at = ring + (ulong)(bytes.Length + (i * 0x40));
            var entry = bytes.AsSpan((next - 3 + i) % Ring * EntrySize);
            BinaryPrimitives.WriteUInt16LittleEndian(entry, (ushort)name.Length);
            BinaryPrimitives.WriteUInt16LittleEndian(entry[2..], (ushort)name.Length);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[8..], at.Value);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[0x10..], 0xFFFFF800_A0000000 + ((ulong)i << 16));
            BinaryPrimitives.WriteUInt64LittleEndian(entry[0x18..], 0xFFFFF800_A0008000 + ((ulong)i << 16));
            Assert.True(memory.TryWrite(before.Kernel, at, name));
        }
        Assert.True(memory.TryWrite(before.Kernel, ring, bytes));
        Assert.True(memory.TryWrite(before.Kernel, new VirtualAddress(kdbg.Qword(DebuggerDataField.MmUnloadedDrivers)), BitConverter.GetBytes(ring.Value)));
        Assert.True(memory.TryWrite(before.Kernel, new VirtualAddress(kdbg.Qword(DebuggerDataField.MmLastUnloadedDriver)), BitConverter.GetBytes(next)));

        using var changed = new View(memory, view.Cpus, view.Consistency, view.Origin);
        var path = twin["small.dmp"];
        DumpWriter.Write(DumpPlan.For(Twin.Find(changed), new DumpOptions { Kind = DumpKind.Small }), path, null, TestContext.Current.CancellationToken);
        using (var dump = TriageDump.Open(path))
            Assert.Equal(["gone2.sys", "gone1.sys", "gone0.sys"], dump.UnloadedDrivers.Select(driver => driver.Name));
        Assert.DoesNotContain(DumpChecker.Check(path, null, TestContext.Current.CancellationToken).Findings, finding => finding.Severity != CheckSeverity.Note);

        DebuggerEngine.SkipUnlessAccepted();
        var verdict = DebuggerEngine.Judge(path);
        Assert.Empty(verdict.Complaints);
        Assert.Equal([0xFFFFF800_A0000000, 0xFFFFF800_A0010000, 0xFFFFF800_A0020000], verdict.UnloadedModules.Select(module => module.Start).Order());
    }

    [Fact]
    public void WithoutKdbgItIsRefusedInOneLine()
    {
        var guest = new HandMadeGuest();
        var refused = Assert.Throws<DumpWriteException>(() => DumpPlan.For(guest.Facts() with { Kdbg = null }, new DumpOptions { Kind = DumpKind.Small }));
        Assert.Contains("KDBG was not found", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    private static IEnumerable<JsonElement> Listed(JsonElement truth) => truth.GetProperty("drivers").EnumerateArray().Where(driver => !driver.GetProperty("hidden").GetBoolean());
}
