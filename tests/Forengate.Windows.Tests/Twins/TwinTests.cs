using System.Globalization;
using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>Twin guests of every family: everything found equals what the lab says it laid out.</summary>
public sealed class TwinTests
{
    public static TheoryData<string> Twins =>
    [
        "--build 7601 --seed 11",
        "--build 9600 --seed 12 --cpus 8 --cpu-modes mixed",
        "--build 14393 --seed 13 --cpus 2 --cpu-modes user",
        "--build 17763 --seed 14 --cpus 4 --cpu-modes entry --kdbg plain",
        "--build 19041 --seed 15 --cpus 8 --cpu-modes user",
        "--build 20348 --seed 16 --cpus 3 --cpu-modes mixed --low-memory 128 --bugcheck E2,1,2,3,4",
        "--build 22000 --seed 17 --cpus 64 --cpu-modes mixed --processes 200 --fill 30",
        "--build 7601 --seed 18 --kva off --kdbg plain --cpu-modes user --memory 128",
        "--build 22000 --seed 19 --kva off --cpus 2 --cpu-modes user --processes 300",
        "--build 19041 --seed 20 --processes 1 --hidden 0 --exited 0 --spare 0 --drivers 2 --hidden-drivers 0",
    ];

    [Theory]
    [MemberData(nameof(Twins))]
    public void TheKernelIsFoundByRegisters(string options) => CheckSystem(options, registers: true);

    [Theory]
    [MemberData(nameof(Twins))]
    public void TheKernelIsFoundWithoutRegisters(string options) => CheckSystem(options, registers: false);

    /// <summary>The start block is a way of its own; without it only the pass over memory is left.</summary>
    [Theory]
    [MemberData(nameof(Twins))]
    public void TheKernelIsFoundBySearchAlone(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open(registers: false);
        using var memory = new ChangedMemory(view.Memory);
        var stub = twin.Truth.GetProperty("paging").GetProperty("lowStub");
        if (stub.ValueKind == JsonValueKind.String)
            memory.Page(TwinImage.Hex(stub)).Clear();
        using var changed = new View(memory, [], view.Consistency, view.Origin);
        var found = WindowsSystem.Find(changed, ProfileStore.Carried);
        Assert.True(found.System is not null, found.Reason + "\n" + string.Join('\n', found.Facts));
        CheckKernel(twin.Truth, found.System);
        Assert.Contains(found.System.KernelFacts, f => f.How.Contains("self-referring", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Twins))]
    public void ListedProcessesEqualTheTruth(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        var listing = ProcessList.Walk(Find(view));
        Assert.Empty(listing.Warnings);
        var truth = twin.Truth.GetProperty("processes").EnumerateArray().Where(p => p.GetProperty("listed").GetBoolean()).ToList();
        Assert.Equal(truth.Count, listing.Items.Count);
        foreach (var (expected, process) in truth.OrderBy(p => p.GetProperty("pid").GetUInt64()).Zip(listing.Items.OrderBy(p => p.Id)))
            Compare(expected, process);
    }

    [Theory]
    [MemberData(nameof(Twins))]
    public void ScannedProcessesEqualTheTruth(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        var listing = ProcessList.Scan(Find(view));
        Assert.Empty(listing.Warnings);
        var truth = twin.Truth.GetProperty("processes").EnumerateArray().Where(p => p.GetProperty("pid").GetUInt64() != 0).ToList();
        Assert.Equal(truth.Select(p => p.GetProperty("pid").GetUInt64()).Order(), listing.Items.Select(p => p.Id).Order());
        foreach (var (expected, process) in truth.OrderBy(p => p.GetProperty("pid").GetUInt64()).Zip(listing.Items.OrderBy(p => p.Id)))
        {
            Compare(expected, process);
            Assert.Equal(expected.GetProperty("listed").GetBoolean(), process.IsListed);
        }
    }

    [Theory]
    [MemberData(nameof(Twins))]
    public void DriversEqualTheTruth(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        var system = Find(view);
        var all = twin.Truth.GetProperty("drivers").EnumerateArray().ToList();
        var listed = DriverList.Walk(system);
        Assert.Empty(listed.Warnings);
        Compare(all.Where(d => !d.GetProperty("hidden").GetBoolean()), listed.Items);
        var scanned = DriverList.Scan(system);
        Assert.Empty(scanned.Warnings);
        Compare(all, scanned.Items);
        Assert.Equal(
            all.Where(d => d.GetProperty("hidden").GetBoolean()).Select(d => d.GetProperty("name").GetString()!).Order(),
            scanned.Items.Where(d => !d.IsListed).Select(d => d.Name).Order());
    }

    /// <summary>As the CPU translates: pages in transition are not there for it.</summary>
    [Theory]
    [MemberData(nameof(Twins))]
    public void TranslationsEqualTheTruth(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        foreach (var expected in twin.Truth.GetProperty("translations").EnumerateArray())
        {
            var address = new VirtualAddress(TwinImage.Hex(expected.GetProperty("va")));
            var translation = new AddressSpace(view.Memory, TwinImage.Hex(expected.GetProperty("root"))).Translate(address);
            var physical = expected.GetProperty("pa");
            Assert.True((physical.ValueKind == JsonValueKind.String) == translation.Ok, $"{address}: {translation}, truth {physical}");
            if (translation.Ok)
                Assert.Equal(TwinImage.Hex(physical), translation.Address.Value);
        }
    }

    internal static WindowsSystem Find(View view)
    {
        var found = WindowsSystem.Find(view, ProfileStore.Carried);
        Assert.True(found.System is not null, found.Reason + "\n" + string.Join('\n', found.Facts));
        return found.System;
    }

    private static void CheckSystem(string options, bool registers)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open(registers);
        var system = Find(view);
        CheckKernel(twin.Truth, system);
        CheckKdbg(twin.Truth.GetProperty("kdbg"), system);
        CheckProcessors(twin.Truth.GetProperty("cpus"), system, registers);
        CheckSharedData(twin.Truth, system);
        Assert.DoesNotContain(system.KernelFacts, f => f.Value is null && !f.Name.StartsWith("vCPU", StringComparison.Ordinal));
    }

    private static void CheckKernel(JsonElement truth, WindowsSystem system)
    {
        Assert.Equal(TwinImage.Hex(truth.GetProperty("paging").GetProperty("systemPml4")), system.SystemDirectoryTableBase);
        Assert.Equal(4, system.Levels);
        Assert.Equal(TwinImage.Hex(truth.GetProperty("kernel").GetProperty("base")), system.Image.Base.Value);
        Assert.Equal(TwinImage.Hex(truth.GetProperty("kernel").GetProperty("size")), system.Image.Size);
        var build = truth.GetProperty("build");
        Assert.Equal(TwinImage.Hex(build.GetProperty("timestamp")), system.Image.TimeDateStamp);
        Assert.Equal(Guid.ParseExact(build.GetProperty("pdbGuid").GetString()!, "N"), system.Image.CodeView.Guid);
        Assert.Equal(build.GetProperty("pdbAge").GetUInt32(), system.Image.CodeView.Age);
        Assert.Equal(build.GetProperty("major").GetUInt32(), system.Version.Major);
        Assert.Equal(build.GetProperty("minor").GetUInt32(), system.Version.Minor);
        Assert.Equal(build.GetProperty("number").GetUInt32(), system.Version.Build);
        Assert.Equal(build.GetProperty("lab").GetString(), system.Version.BuildLab);
        Assert.Equal(build.GetProperty("labEx").GetString(), system.Version.BuildLabEx);
        Assert.Equal(0xF, (int?)system.Version.KdMajor);
        Assert.Equal(build.GetProperty("number").GetInt32(), (int?)system.Version.KdMinor);
        Assert.Equal(0x8664, system.Version.MachineType);
        foreach (var global in truth.GetProperty("globals").EnumerateArray())
        {
            if (Enum.TryParse<KernelGlobal>(global.GetProperty("name").GetString(), out var name))
                Assert.Equal(TwinImage.Hex(global.GetProperty("va")), system.AddressOf(name)?.Value);
        }
        var runs = truth.GetProperty("memory").GetProperty("runs").EnumerateArray()
            .Select(run => new PhysicalRange(PhysicalAddress.FromFrame(TwinImage.Hex(run.GetProperty("firstPage"))), run.GetProperty("pages").GetUInt64() << 12));
        Assert.Equal(runs, system.PhysicalMemoryBlock);
        var bugcheck = truth.GetProperty("bugcheck");
        Assert.Equal(bugcheck.ValueKind != JsonValueKind.Null, system.BugCheck is not null);
        if (system.BugCheck is { } check)
            Assert.Equal((TwinImage.Hex(bugcheck.GetProperty("code")), TwinImage.Hex(bugcheck.GetProperty("parameters")[0]), TwinImage.Hex(bugcheck.GetProperty("parameters")[3])), (check.Code, check.Parameter1, check.Parameter4));
    }

    private static void CheckKdbg(JsonElement truth, WindowsSystem system)
    {
        Assert.NotNull(system.Kdbg);
        Assert.Equal(TwinImage.Hex(truth.GetProperty("va")), system.Kdbg.Address.Value);
        Assert.Equal(truth.GetProperty("encoded").GetBoolean(), system.Kdbg.Encoded);
        Assert.Equal(TwinImage.Hex(truth.GetProperty("flagVa")), system.Kdbg.FlagAddress!.Value.Value);
        Assert.Equal(truth.GetProperty("decoded").GetString(), Convert.ToHexStringLower(system.Kdbg.Bytes.Span));
        Assert.DoesNotContain("disagrees", system.Kdbg.How, StringComparison.Ordinal);
        if (system.Kdbg.Encoded)
            Assert.Contains("confirmed by KiWaitNever", system.Kdbg.How, StringComparison.Ordinal);
    }

    private static void CheckProcessors(JsonElement truth, WindowsSystem system, bool registers)
    {
        Assert.Equal(truth.GetArrayLength(), system.Processors.Count);
        Assert.Empty(system.UnmatchedCpus);
        foreach (var (expected, processor) in truth.EnumerateArray().Zip(system.Processors))
        {
            Assert.Equal(TwinImage.Hex(expected.GetProperty("kpcr")), processor.Kpcr.Value);
            Assert.Equal(TwinImage.Hex(expected.GetProperty("prcb")), processor.Kprcb.Value);
            Assert.Equal(TwinImage.Hex(expected.GetProperty("context")), processor.Context!.Value.Value);
            Assert.Equal(TwinImage.Hex(expected.GetProperty("contextFrame")), processor.ContextFrame!.Value.Value);
            Assert.Equal(TwinImage.Hex(expected.GetProperty("specialRegisters")), processor.SpecialRegisters!.Value.Value);
            Assert.Equal(TwinImage.Hex(expected.GetProperty("currentThread")), processor.CurrentThread!.Value.Value);
            Assert.Equal(TwinImage.Hex(expected.GetProperty("currentProcess")), processor.CurrentProcess!.Value.Value);
            Assert.Equal(expected.GetProperty("currentPid").GetUInt64(), processor.CurrentProcessId);
            Assert.Equal(registers ? expected.GetProperty("index").GetInt32() : null, processor.Cpu?.Index);
        }
    }

    private static void CheckSharedData(JsonElement truth, WindowsSystem system)
    {
        Assert.NotNull(system.SharedData);
        Assert.Equal(TwinImage.Hex(truth.GetProperty("times").GetProperty("systemTimeRaw")), system.SharedData.SystemTime);
        Assert.Equal(TwinImage.Hex(truth.GetProperty("times").GetProperty("interruptTimeRaw")), system.SharedData.InterruptTime);
        Assert.Equal(truth.GetProperty("build").GetProperty("productType").GetUInt32(), system.SharedData.NtProductType);
        Assert.Equal(truth.GetProperty("build").GetProperty("suiteMask").GetUInt32(), system.SharedData.SuiteMask);
        if (system.SharedData.BootId is { } boot)
            Assert.Equal(truth.GetProperty("times").GetProperty("bootId").GetUInt32(), boot);
        Assert.Equal(truth.GetProperty("memory").GetProperty("numberOfPages").GetUInt32(), system.SharedData.NumberOfPhysicalPages);
    }

    internal static void Compare(JsonElement expected, Process process)
    {
        Assert.Equal(expected.GetProperty("pid").GetUInt64(), process.Id);
        Assert.Equal(expected.GetProperty("parentPid").GetUInt64(), process.ParentId);
        Assert.Equal(expected.GetProperty("name").GetString(), process.Name);
        Assert.Equal(expected.GetProperty("nativePath").GetString(), process.ImagePath ?? "");
        var exited = expected.GetProperty("state").GetString() == "exited";
        Assert.Equal(exited, process.HasExited);
        Assert.Equal(exited || expected.GetProperty("peb").GetString() == "0x0" ? null : expected.GetProperty("commandLine").GetString(), process.CommandLine);
        Assert.Equal(Time(expected, "createTime"), process.CreateTime);
        Assert.Equal(Time(expected, "exitTime"), process.ExitTime);
        Assert.Equal(expected.GetProperty("activeThreads").GetUInt32(), process.ThreadCount);
        Assert.Equal(expected.GetProperty("session") is { ValueKind: JsonValueKind.Number } session ? session.GetUInt32() : null, process.SessionId);
        Assert.Equal(expected.GetProperty("wow64").GetBoolean(), process.IsWow64);
        Assert.Equal(TwinImage.Hex(expected.GetProperty("eprocess")), process.Address.Value);
        Assert.Equal(TwinImage.Hex(expected.GetProperty("eprocessPa")), process.PhysicalAddress!.Value.Value);
        Assert.Equal(TwinImage.Hex(expected.GetProperty("dtb")) & ~0xFFFUL, process.DirectoryTableBase);
        Assert.Equal(TwinImage.Hex(expected.GetProperty("userDtb")) & ~0xFFFUL, process.UserDirectoryTableBase ?? 0);
        Assert.Equal(TwinImage.Hex(expected.GetProperty("peb")), process.Peb?.Value ?? 0);
    }

    internal static void Compare(IEnumerable<JsonElement> expected, IReadOnlyList<Driver> drivers)
    {
        var truth = expected.OrderBy(d => TwinImage.Hex(d.GetProperty("base"))).ToList();
        Assert.Equal(truth.Count, drivers.Count);
        foreach (var (driver, found) in truth.Zip(drivers.OrderBy(d => d.Base)))
        {
            Assert.Equal(driver.GetProperty("name").GetString(), found.Name);
            Assert.Equal(driver.GetProperty("path").GetString(), found.Path);
            Assert.Equal(TwinImage.Hex(driver.GetProperty("base")), found.Base.Value);
            Assert.Equal(TwinImage.Hex(driver.GetProperty("size")), found.Size);
            Assert.Equal(TwinImage.Hex(driver.GetProperty("entryPoint")), found.EntryPoint!.Value.Value);
            Assert.Equal(TwinImage.Hex(driver.GetProperty("entryVa")), found.Address.Value);
            Assert.Equal((uint?)TwinImage.Hex(driver.GetProperty("timestamp")), found.TimeDateStamp);
            Assert.Equal(Guid.ParseExact(driver.GetProperty("pdbGuid").GetString()!, "N"), found.CodeView!.Guid);
        }
    }

    private static DateTimeOffset? Time(JsonElement process, string name) =>
        process.GetProperty(name) is { ValueKind: JsonValueKind.String } time
            ? DateTimeOffset.Parse(time.GetString()!, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal)
            : null;
}
