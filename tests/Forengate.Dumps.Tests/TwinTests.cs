using System.Buffers.Binary;
using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Referee;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Dumps of twins of every family against the twins' truth, read back by nothing of ours but page walks, judged by check and by the debugger engine.</summary>
public sealed class TwinTests
{
    public static TheoryData<string, string[]> Twins => new()
    {
        { "7601", ["--cpus", "2", "--cpu-modes", "kernel", "--kdbg", "plain"] },
        { "9600", ["--cpus", "8", "--cpu-modes", "mixed", "--kdbg", "encoded"] },
        { "14393", ["--cpus", "1", "--cpu-modes", "user", "--kdbg", "encoded", "--kva", "off"] },
        { "17763", ["--cpus", "8", "--cpu-modes", "entry", "--kdbg", "encoded", "--kva", "on"] },
        { "19041", ["--cpus", "8", "--cpu-modes", "mixed", "--kdbg", "encoded", "--bugcheck", "d1,8,2,1,fffff80012345678"] },
        { "20348", ["--cpus", "3", "--cpu-modes", "user", "--kdbg", "plain", "--memory", "192", "--low-memory", "128"] },
        { "22000", ["--cpus", "4", "--cpu-modes", "mixed", "--kdbg", "encoded"] },
    };

    [Theory]
    [MemberData(nameof(Twins))]
    public void DumpOfATwinIsItsTruth(string build, string[] options)
    {
        using var twin = new Twin(["--build", build, "--memory", "128", "--drivers", "12", "--processes", "30", .. options]);
        var truth = twin.Truth;
        var path = twin["twin.dmp"];
        DumpResult result;
        using (var view = twin.OpenView())
            result = DumpWriter.Write(DumpPlan.For(Twin.Find(view)), path, null, TestContext.Current.CancellationToken);
        Assert.True(result.IsComplete, string.Join('\n', result.Plan.Gaps));
        Assert.Empty(result.Plan.Disagreements);

        using (var image = CrashDumpImage.Open(path))
            HeaderIsTrue(image.Header64, truth);
        using (var view = ImageReader.Open(path))
            MemoryIsTrue(view, truth);

        var report = DumpChecker.Check(path, (view, ct) => WindowsSystem.Find(view, ProfileStore.Carried, ct), TestContext.Current.CancellationToken);
        Assert.Empty(report.Findings);
        Assert.Equal(truth.GetProperty("cpus").GetArrayLength(), report.Processors.Count);
        Assert.Equal(truth.GetProperty("drivers").EnumerateArray().Count(driver => !driver.GetProperty("hidden").GetBoolean()), report.Modules);

        if (DebuggerEngine.Accepted)
            EngineShowsTheTruth(path, truth);
        FaultsAreFound(path, truth);
        // All that can be judged without the engine was, and held; a twin that the first referee did not see is counted as skipped all the same.
        DebuggerEngine.SkipUnlessAccepted();
    }

    /// <summary>The faults that the check must know, planted one after the other.</summary>
    private static void FaultsAreFound(string path, JsonElement truth)
    {
        var cpus = truth.GetProperty("cpus").EnumerateArray().ToArray();
        var file = new PlantedFile(path);
        var dtb = Twin.Number(truth.GetProperty("paging").GetProperty("systemPml4"));

        file.With(CrashDumpLayout64.DirectoryTableBase, BitConverter.GetBytes(dtb + 0x3000), () => Finds(CheckCode.DirectoryTable));
        file.With(CrashDumpLayout64.PsLoadedModuleList, "PAGEPAGE"u8.ToArray(), () => Finds(CheckCode.Filler));
        file.With(CrashDumpLayout64.BugCheckCode, "PAGE"u8.ToArray(), () => Finds(CheckCode.Filler));
        file.With(CrashDumpLayout64.FirstRun, file.Read(CrashDumpLayout64.FirstRun + 16, 16).Concat(file.Read(CrashDumpLayout64.FirstRun, 16)).ToArray(), () => Finds(CheckCode.RunOrder));
        file.With(CrashDumpLayout64.NumberOfRuns, [(byte)(file.Read(CrashDumpLayout64.NumberOfRuns, 1)[0] + 1)], () =>
            file.With(CrashDumpLayout64.FirstRun + (file.Read(CrashDumpLayout64.NumberOfRuns, 1)[0] - 1) * 16, [0, 0, 0x90, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0], () => Finds(CheckCode.Truncated)));
        file.Cut(0x5000, () => Finds(CheckCode.Truncated));

        // KDBG as memory had it: any key does, an encoded block has no tag.
        var kdbg = Twin.Number(truth.GetProperty("kdbg").GetProperty("va"));
        var decoded = Convert.FromHexString(truth.GetProperty("kdbg").GetProperty("decoded").GetString()!);
        var encoded = new byte[decoded.Length];
        for (var at = 0; at + 8 <= decoded.Length; at += 8)
        {
            var word = BinaryPrimitives.ReverseEndianness(BinaryPrimitives.ReadUInt64LittleEndian(decoded.AsSpan(at)) ^ 0x8765_4321_1234_5678);
            BinaryPrimitives.WriteUInt64LittleEndian(encoded.AsSpan(at), System.Numerics.BitOperations.RotateRight(word, 37));
        }
        file.WithVirtual(dtb, kdbg, encoded, () => Finds(CheckCode.DebuggerDataEncoded));

        var gdt = Twin.Number(cpus[^1].GetProperty("gdt"));
        file.Unmapped(dtb, gdt, () => Finds(CheckCode.Gdt));

        if (cpus.Length > 1)
        {
            var (first, second) = (Twin.Number(cpus[0].GetProperty("context")), Twin.Number(cpus[1].GetProperty("context")));
            var (one, other) = (file.ReadVirtual(dtb, first, Amd64ContextLayout.Size), file.ReadVirtual(dtb, second, Amd64ContextLayout.Size));
            file.WithVirtual(dtb, first, other, () => file.WithVirtual(dtb, second, one, () => Finds(CheckCode.ContextSwapped)));
        }
        Assert.Empty(Check().Findings);

        CheckReport Check() => DumpChecker.Check(path, (view, ct) => WindowsSystem.Find(view, ProfileStore.Carried, ct), TestContext.Current.CancellationToken);

        void Finds(string code)
        {
            var findings = Check().Findings;
            Assert.True(findings.Any(finding => finding.Severity == CheckSeverity.Error && finding.Code == code), $"no error {code} in:\n{string.Join('\n', findings)}");
        }
    }

    private static void HeaderIsTrue(CrashDumpHeader64 header, JsonElement truth)
    {
        var globals = truth.GetProperty("globals").EnumerateArray().ToDictionary(global => global.GetProperty("name").GetString()!);
        ulong Va(string name) => Twin.Number(globals[name].GetProperty("va"));
        Assert.Equal(Twin.Number(truth.GetProperty("paging").GetProperty("systemPml4")), header.DirectoryTableBase);
        Assert.Equal(Va("PsLoadedModuleList"), header.PsLoadedModuleList);
        Assert.Equal(Va("PsActiveProcessHead"), header.PsActiveProcessHead);
        Assert.Equal(Twin.Number(truth.GetProperty("kdbg").GetProperty("va")), header.KdDebuggerDataBlock);
        Assert.Equal(Twin.Number(truth.GetProperty("memory").GetProperty("pfnDatabase")), header.PfnDataBase);
        Assert.Equal(truth.GetProperty("build").GetProperty("number").GetUInt32(), header.MinorVersion);
        Assert.Equal((uint)truth.GetProperty("cpus").GetArrayLength(), header.NumberProcessors);
        var times = truth.GetProperty("times");
        Assert.Equal(Twin.Number(times.GetProperty("systemTimeRaw")), header.SystemTime);
        Assert.Equal(Twin.Number(times.GetProperty("interruptTimeRaw")), header.SystemUpTime);
        if (times.GetProperty("bootId") is { ValueKind: JsonValueKind.Number } boot)
            Assert.Equal(boot.GetUInt32(), header.BootId);
        else
            Assert.Equal(CrashDumpHeader64.Filler, header.BootId);
        Assert.Equal(truth.GetProperty("build").GetProperty("productType").GetUInt32(), header.ProductType);
        Assert.Equal(truth.GetProperty("build").GetProperty("suiteMask").GetUInt32(), header.SuiteMask);
        Assert.Equal(CrashDumpAttributes.None, header.Attributes);
        var runs = truth.GetProperty("memory").GetProperty("runs").EnumerateArray().Select(run => new CrashDumpRun(Twin.Number(run.GetProperty("firstPage")), Twin.Number(run.GetProperty("pages")))).ToArray();
        Assert.Equal((uint)runs.Length, header.NumberOfRuns);
        for (var i = 0; i < runs.Length; i++)
            Assert.Equal(runs[i], header.Run(i));
        if (truth.GetProperty("bugcheck") is { ValueKind: JsonValueKind.Object } bug)
        {
            Assert.Equal(Twin.Number(bug.GetProperty("code")), header.BugCheckCode);
            Assert.Equal(Twin.Number(bug.GetProperty("parameters")[3]), header.BugCheckParameter4);
        }
        else
        {
            Assert.Equal(0x161u, header.BugCheckCode);
        }
    }

    private static void MemoryIsTrue(View view, JsonElement truth)
    {
        var space = new AddressSpace(view.Memory, Twin.Number(truth.GetProperty("paging").GetProperty("systemPml4")));
        var kdbg = truth.GetProperty("kdbg");
        var decoded = Convert.FromHexString(kdbg.GetProperty("decoded").GetString()!);
        var read = new byte[decoded.Length];
        Assert.True(space.TryRead(new VirtualAddress(Twin.Number(kdbg.GetProperty("va"))), read));
        Assert.Equal(decoded, read);
        Assert.True(space.TryRead(new VirtualAddress(Twin.Number(kdbg.GetProperty("flagVa"))), out byte flag));
        Assert.Equal(0, flag);

        foreach (var cpu in truth.GetProperty("cpus").EnumerateArray())
        {
            var registers = cpu.GetProperty("registers");
            foreach (var place in (string[])["context", "contextFrame"])
            {
                var context = new byte[Amd64ContextLayout.Size];
                Assert.True(space.TryRead(new VirtualAddress(Twin.Number(cpu.GetProperty(place))), context));
                var shown = new Amd64ContextView(context);
                Assert.Equal(Twin.Number(registers.GetProperty("rip")), shown.Rip);
                Assert.Equal(Twin.Number(registers.GetProperty("rsp")), shown.Rsp);
                Assert.Equal(Twin.Number(registers.GetProperty("cs")), shown.SegCs);
                Assert.Equal(Twin.Number(registers.GetProperty("r15")), BinaryPrimitives.ReadUInt64LittleEndian(context.AsSpan(Amd64ContextLayout.R8 + 56)));
            }
            var special = new byte[SpecialRegistersLayout.MinSize];
            Assert.True(space.TryRead(new VirtualAddress(Twin.Number(cpu.GetProperty("specialRegisters"))), special));
            foreach (var (name, offset) in ((string, int)[])[("cr3", SpecialRegistersLayout.Cr3), ("gdtBase", SpecialRegistersLayout.GdtrBase), ("idtBase", SpecialRegistersLayout.IdtrBase), ("gsBase", SpecialRegistersLayout.MsrGsBase), ("kernelGsBase", SpecialRegistersLayout.MsrGsSwap), ("lStar", SpecialRegistersLayout.MsrLStar)])
                Assert.Equal(Twin.Number(registers.GetProperty(name)), BinaryPrimitives.ReadUInt64LittleEndian(special.AsSpan(offset)));
        }
    }

    private static void EngineShowsTheTruth(string path, JsonElement truth)
    {
        var verdict = DebuggerEngine.Judge(path);
        Assert.Empty(verdict.Complaints);
        Assert.Contains($"Kernel Version {truth.GetProperty("build").GetProperty("number").GetInt32()} ", verdict["vertarget"], StringComparison.Ordinal);
        Assert.Equal(Twin.Number(truth.GetProperty("kernel").GetProperty("base")), verdict.Target.KernelBase);
        Assert.Equal(truth.GetProperty("cpus").GetArrayLength(), verdict.Registers.Count);
        var i = 0;
        foreach (var cpu in truth.GetProperty("cpus").EnumerateArray())
        {
            Assert.Equal(Twin.Number(cpu.GetProperty("registers").GetProperty("rip")), verdict.Registers[i]["rip"]);
            Assert.Equal(Twin.Number(cpu.GetProperty("registers").GetProperty("rsp")), verdict.Registers[i]["rsp"]);
            i++;
        }
    }
}
