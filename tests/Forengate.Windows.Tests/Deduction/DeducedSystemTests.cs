using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>What is listed by a deduced profile equals the truth as it does by a known one.</summary>
public sealed class DeducedSystemTests
{
    public static TheoryData<string> Twins =>
    [
        "--build 7601 --seed 51 --shuffle 51 --cpus 2 --cpu-modes mixed --memory 128 --exited 6 --processes 60",
        "--build 17763 --seed 52 --shuffle 52 --cpus 2 --cpu-modes user --memory 128 --exited 6 --processes 60",
        "--build 22000 --seed 53 --shuffle 53 --cpus 3 --cpu-modes mixed --memory 128 --exited 6 --processes 60 --kdbg plain",
    ];

    [Theory]
    [MemberData(nameof(Twins))]
    public void ListsEqualTheTruth(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        var system = Find(view, DeductionTests.WithoutFamily(DeductionTests.BuildOf(options)));
        var all = twin.Truth.GetProperty("processes").EnumerateArray().Where(p => p.GetProperty("pid").GetUInt64() != 0).ToList();
        Compare(all.Where(p => p.GetProperty("listed").GetBoolean()), ProcessList.Walk(system));
        Compare(all, ProcessList.Scan(system));
        var drivers = twin.Truth.GetProperty("drivers").EnumerateArray().ToList();
        TwinTests.Compare(drivers.Where(d => !d.GetProperty("hidden").GetBoolean()), DriverList.Walk(system).Items);
        TwinTests.Compare(drivers, DriverList.Scan(system).Items);
        Assert.Contains(system.KernelFacts, fact => fact.Name == "profile" && fact.Value!.Contains("deduced", StringComparison.Ordinal));
        Assert.Contains(system.KernelFacts, fact => fact.Name == "deduced _EPROCESS.UniqueProcessId" && fact.How.Length > 20);
    }

    /// <summary>All CPUs in user mode under a table that does not map the kernel, and no build that says where the kernel's is kept.</summary>
    [Fact]
    public void AKernelNobodyKnowsIsFoundBehindItsShadow()
    {
        var twin = TwinImage.Of("--build 17763 --seed 52 --shuffle 52 --cpus 2 --cpu-modes user --memory 128 --exited 6 --processes 60");
        using var view = twin.Open();
        var system = Find(view, new ProfileStore([]));
        Assert.Contains(system.KernelFacts, fact => fact.How.Contains("KernelDirectoryTableBase", StringComparison.Ordinal));
        Assert.Equal(TwinImage.Hex(twin.Truth.GetProperty("paging").GetProperty("systemPml4")), system.SystemDirectoryTableBase);
    }

    [Fact]
    public void AKernelNobodyKnowsIsFoundWithoutRegisters()
    {
        var twin = TwinImage.Of("--build 22000 --seed 53 --shuffle 53 --cpus 3 --cpu-modes mixed --memory 128 --exited 6 --processes 60 --kdbg plain");
        using var view = twin.Open(registers: false);
        Assert.True(Find(view, new ProfileStore([])).Proof.Holds);
    }

    /// <summary>A new patch of a family that is known: the build itself is in no source, its layout is another's.</summary>
    [Fact]
    public void ANearBuildFillsInWhatMemoryDoesNotShow()
    {
        var twin = TwinImage.Of("--build 19041 --seed 54 --hide-build --memory 128 --kva off --processes 20 --exited 0");
        using var view = twin.Open();
        var system = Find(view, ProfileStore.Carried);
        var judged = DeductionTruth.Judge(twin.Truth, TestProfiles.Of(19041).Profile, system.Profile);
        Assert.Empty(judged.Wrong);
        Assert.NotNull(system.Profile.OffsetOf(KernelField.KPROCESS_ProfileListHead));
        Assert.NotNull(system.Profile.OffsetOf(KernelField.EPROCESS_ExitTime));
        Assert.Contains(system.KernelFacts, fact => fact.Name == "profile" && fact.How.Contains("10.0.19041", StringComparison.Ordinal));
        Assert.True(judged.Recall > 0.98, string.Join(", ", judged.Missing));
    }

    /// <summary>No export leads to the System process: declined, with the reason.</summary>
    [Fact]
    public void WithoutExportsNothingIsDeduced()
    {
        var twin = TwinImage.Of("--build 22000 --seed 53 --shuffle 53 --cpus 3 --cpu-modes mixed --memory 128 --exited 6 --processes 60 --kdbg plain");
        using var view = twin.Open();
        using var memory = new ChangedMemory(view.Memory);
        var kernel = twin.Truth.GetProperty("kernel");
        var space = new AddressSpace(view.Memory, TwinImage.Hex(twin.Truth.GetProperty("paging").GetProperty("systemPml4")));
        var edata = kernel.GetProperty("sections").EnumerateArray().Single(s => s.GetProperty("name").GetString() == ".edata");
        var at = space.Translate(new VirtualAddress(TwinImage.Hex(kernel.GetProperty("base")) + TwinImage.Hex(edata.GetProperty("rva"))));
        Assert.True(at.Ok);
        memory.Page(at.Address.Value).Clear();
        using var changed = new View(memory, view.Cpus, view.Consistency, view.Origin);
        var found = WindowsSystem.Find(changed, new ProfileStore([]));
        Assert.Null(found.System);
        Assert.Contains("PsInitialSystemProcess", found.Reason, StringComparison.Ordinal);
        Assert.Contains(found.Facts, fact => fact.Name == "kernel symbols");
    }

    internal static WindowsSystem Find(View view, ProfileStore profiles)
    {
        var found = WindowsSystem.Find(view, profiles);
        Assert.True(found.System is not null, found.Reason + "\n" + string.Join('\n', found.Facts));
        return found.System;
    }

    private static void Compare(IEnumerable<JsonElement> truth, Listing<Process> listing)
    {
        var expected = truth.OrderBy(p => p.GetProperty("pid").GetUInt64()).ToList();
        Assert.Equal(expected.Select(p => p.GetProperty("pid").GetUInt64()), listing.Items.Select(p => p.Id).Order());
        foreach (var (one, process) in expected.Zip(listing.Items.OrderBy(p => p.Id)))
            TwinTests.Compare(one, process);
    }
}
