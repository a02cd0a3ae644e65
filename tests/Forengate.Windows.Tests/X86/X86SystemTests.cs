using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing;
using Forengate.Testing.Hostile;
using Forengate.Testing.X86;

namespace Forengate.Windows.Tests;

/// <summary>32-bit kernels, with and without PAE, of the oldest and the newest layouts, in memory laid out by hand: found by registers and by search, listed, and refused where a layout does not fit.</summary>
public sealed class X86SystemTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public static TheoryData<uint, bool> Kinds => new(X86Build.All.SelectMany(build => new[] { (build.Build, false), (build.Build, true) }));

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => File.Delete(_path);

    [Theory, MemberData(nameof(Kinds))]
    public void AnElfCoreLeadsToTheSystem(uint build, bool pae)
    {
        var guest = new X86Guest(X86Build.Of(build), pae, encoded: build > 9000);
        X86Files.WriteElf(guest, _path);
        using var view = ImageReader.Open(_path, cancellation: Ct);
        var found = WindowsSystem.Find(view, ProfileStore.Carried, Ct);
        var system = Expect(guest, found);
        Assert.Equal(guest.Build.Build > 9000, system.Kdbg!.Encoded);
        Assert.Equal([0, 1], system.Processors.Select(processor => processor.Cpu?.Index ?? -1));
        Assert.Equal(guest.PlainKdbg[0x10..], system.Kdbg.Bytes.ToArray()[0x10..]);
    }

    [Theory, MemberData(nameof(Kinds))]
    public void ADumpWithoutRegistersLeadsToTheSameSystem(uint build, bool pae)
    {
        var guest = new X86Guest(X86Build.Of(build), pae);
        X86Files.WriteCrashDump(guest, _path);
        using var view = ImageReader.Open(_path, cancellation: Ct);
        Expect(guest, WindowsSystem.Find(view, ProfileStore.Carried, Ct));
    }

    [Theory, InlineData(true), InlineData(false)]
    public void RawMemoryLeadsToTheSameSystem(bool pae)
    {
        var guest = new X86Guest(X86Build.Seven, pae);
        using var view = ViewOf(guest.Memory, null);
        Expect(guest, WindowsSystem.Find(view, ProfileStore.Carried, Ct));
    }

    [Fact]
    public void AnEncodedBlockIsNotNeeded()
    {
        var guest = new X86Guest(X86Build.Ten, pae: true, encoded: true);
        using var view = ViewOf(guest.Memory, GuestArchitecture.X86);
        var system = WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!;
        Assert.Null(system.Kdbg);
        Assert.Equal(X86Guest.ProcessHead, system.ProcessListHead.Value);
        Assert.Equal(X86Guest.ModuleHead, system.ModuleListHead!.Value.Value);
    }

    /// <summary>19044 has no table: a neighbour's layout is a hypothesis that memory confirms.</summary>
    [Fact]
    public void ANeighboursLayoutIsProvedBeforeItIsUsed()
    {
        var guest = new X86Guest(X86Build.TenLast, pae: true);
        guest.Put32(X86Guest.BuildNumber, 0xF000_0000 | 19044);
        using var view = ViewOf(guest.Memory, GuestArchitecture.X86);
        var system = WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!;
        Assert.Equal("10.0.19045.2965", system.LayoutVersion);
        Assert.Contains(system.KernelFacts, fact => fact.Name == "layout" && fact.How.Contains("hypothesis", StringComparison.Ordinal));
    }

    /// <summary>The memory of each build under the number of every other: only a layout whose fields are where that memory has them is taken.</summary>
    [Fact]
    public void ALayoutThatDoesNotFitIsRefused()
    {
        foreach (var build in X86Build.All)
        {
            foreach (var other in X86Build.All.Where(one => one != build))
            {
                var guest = new X86Guest(build, pae: true);
                guest.Put32(X86Guest.BuildNumber, 0xF000_0000 | other.Build);
                using var view = ViewOf(guest.Memory, GuestArchitecture.X86);
                var found = WindowsSystem.Find(view, ProfileStore.Carried, Ct);
                Assert.True(found.X86 is null, $"{build.Version} read as {other.Version}");
                Assert.Contains("does not fit this memory", found.Reason, StringComparison.Ordinal);
                Assert.DoesNotContain('\n', found.Reason!);
            }
        }
    }

    [Theory]
    [InlineData("neither its export NtBuildNumber", 0)]
    [InlineData("no page table", 1)]
    public void WhatIsMissingIsNamed(string reason, int what)
    {
        var guest = new X86Guest(X86Build.Seven, pae: false);
        if (what == 0)
            guest.Put32(X86Guest.BuildNumber, 0);
        else
            guest.Put32(X86Guest.SharedData + 0x30, 0);
        using var view = ViewOf(guest.Memory, GuestArchitecture.X86);
        var found = WindowsSystem.Find(view, ProfileStore.Carried, Ct);
        Assert.Null(found.X86);
        Assert.Contains(reason, found.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void ATornListIsToldAndReadFromBothEnds()
    {
        var guest = new X86Guest(X86Build.Seven, pae: true);
        guest.Put32(X86Guest.ProcessAt(1) + (uint)guest.Build.Links, 0x1234);
        using var view = ViewOf(guest.Memory, GuestArchitecture.X86);
        var listing = X86Lists.Processes(WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!, Ct);
        Assert.Equal(guest.Ids, listing.Items.Select(process => (uint)process.Id));
        Assert.NotEmpty(listing.Warnings);
    }

    /// <summary>What was taken out of both lists is found by its shape, and only that is told as not listed; remains that are none any more are not found.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public void ScansFindWhatIsInNoList(uint build, bool pae)
    {
        var guest = new X86Guest(X86Build.Of(build), pae);
        var links = (uint)guest.Build.Links;
        Unlink(guest, X86Guest.ProcessAt(1) + links);
        const uint disk = X86Guest.Pool + 0x4_0800;
        Unlink(guest, disk);

        // Copies of a process: without a number, without a time, with a list of threads that leads nowhere.
        for (var i = 0; i < 3; i++)
        {
            var copy = X86Guest.Pool + 0x1_0000 + ((uint)i * 0x1000);
            guest.At(X86Guest.ProcessAt(1))[..0x800].CopyTo(guest.At(copy));
            guest.Put32(copy + (uint)guest.Build.Threads, i == 2 ? 0x1234 : copy + (uint)guest.Build.Threads);
            guest.Put32(copy + (uint)guest.Build.Threads + 4, copy + (uint)guest.Build.Threads);
            guest.Put32(copy + (uint)guest.Build.ActiveThreads, 0);
            if (i == 0)
                guest.Put32(copy + (uint)guest.Build.Pid, 0x109);
            if (i == 1)
                guest.Put64(copy + (uint)guest.Build.Created, 0);
        }
        using var view = ViewOf(guest.Memory, GuestArchitecture.X86);
        var system = WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!;
        Assert.Equal(2, X86Lists.Processes(system, Ct).Items.Count);
        var processes = X86Lists.ScanProcesses(system, null, Ct);
        Assert.Empty(processes.Warnings);
        Assert.Equal([(4u, true), (0x108u, false), (0x3A0u, true)], processes.Items.Select(process => ((uint)process.Id, process.IsListed)));
        Assert.All(processes.Items, process => Assert.Equal(FoundBy.Scan, process.FoundBy));
        var drivers = X86Lists.ScanDrivers(system, null, Ct);
        Assert.Empty(drivers.Warnings);
        Assert.Equal([("ntoskrnl.exe", true), ("hal.dll", true), ("disk.sys", false)], drivers.Items.Select(driver => (driver.Name, driver.IsListed)));
    }

    private static void Unlink(X86Guest guest, uint entry)
    {
        var (next, last) = (guest.Get32(entry), guest.Get32(entry + 4));
        guest.Put32(last, next);
        guest.Put32(next + 4, last);
    }

    [Theory, InlineData(true), InlineData(false)]
    public void SpoiltMemoryIsSurvived(bool pae)
    {
        var guest = new X86Guest(X86Build.Seven, pae);
        int[] pages = [3, 8, .. Enumerable.Range(0x10, 12), .. Enumerable.Range(0x40, 4), .. new[] { X86Guest.Kernel, X86Guest.Kernel + 0x1000, X86Guest.Kdbg, X86Guest.SystemPointer, X86Guest.ProcessAt(0), X86Guest.ProcessAt(1), X86Guest.ProcessAt(2), X86Guest.Pool + 0x4_0000, guest.Kpcr(0) }.Select(at => (int)(guest.Physical(at) >> 12))];
        var good = pages.SelectMany(page => guest.Memory.AsSpan(page << 12, 0x1000).ToArray()).ToArray();
        var rounds = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_FUZZ_ROUNDS"), out var more) ? more : 60;
        Bounded.Survives(good, 32, rounds, bytes =>
        {
            var memory = (byte[])guest.Memory.Clone();
            for (var i = 0; i < pages.Length && i << 12 < bytes.Length; i++)
                bytes.AsSpan(i << 12, Math.Min(0x1000, bytes.Length - (i << 12))).CopyTo(memory.AsSpan(pages[i] << 12));
            using var view = ViewOf(memory, GuestArchitecture.X86);
            var found = WindowsSystem.Find(view, ProfileStore.Carried, Ct);
            if (found.X86 is not { } system)
            {
                Assert.NotNull(found.Reason);
                return;
            }
            X86Lists.Processes(system, Ct);
            X86Lists.Drivers(system, Ct);
            X86Lists.ScanProcesses(system, null, Ct);
            X86Lists.ScanDrivers(system, null, Ct);
        });
    }

    private static View ViewOf(byte[] bytes, GuestArchitecture? architecture)
    {
        var memory = new SmallMemory(bytes.Length);
        bytes.CopyTo(memory.Bytes);
        return new View(memory, [], new Consistency(ConsistencyLevel.Unknown, ""), new ViewOrigin { Target = "test", Format = "test", Architecture = architecture });
    }

    private static X86System Expect(X86Guest guest, WindowsSearch found)
    {
        Assert.True(found.X86 is not null, $"{found.Reason}\n{string.Join('\n', found.Facts)}");
        Assert.Null(found.System);
        Assert.Null(found.Reason);
        var system = found.X86;
        Assert.Equal(guest.Pae, system.IsPae);
        Assert.Equal(guest.Tables[0], system.Kernel.DirectoryTableBase.Value);
        Assert.Equal(X86Guest.Kernel, system.Image.Base.Value);
        Assert.Equal(X86Guest.Symbols, system.Image.CodeView.Guid);
        Assert.Equal($"{guest.Build.Major}.{guest.Build.Minor}.{guest.Build.Build}", system.Version.ToString());
        Assert.Equal(X86Guest.Lab, system.Version.BuildLab);
        Assert.Equal(guest.Build.Version, system.LayoutVersion);
        Assert.Equal(X86Guest.Kdbg, system.Kdbg!.Address.Value);
        Assert.Equal(X86Guest.ProcessHead, system.ProcessListHead.Value);
        Assert.Equal(X86Guest.ModuleHead, system.ModuleListHead!.Value.Value);
        Assert.Equal(X86Guest.ProcessAt(0), system.SystemProcess.Value);
        Assert.Equal(Enumerable.Range(0, guest.ProcessorCount).Select(i => (i, (ulong)guest.Kprcb(i), (ulong)guest.Context(i))), system.Processors.Select(one => (one.Number, one.Kprcb.Value, one.Context.Value)));
        Assert.Equal(["0x1000-0x9efff", "0x100000-0x3fffff"], system.PhysicalMemoryBlock!.Select(range => $"0x{range.Start.Value:x}-0x{range.Start.Value + range.Length - 1:x}"));
        Assert.Null(system.BugCheck);

        var processes = X86Lists.Processes(system, Ct);
        Assert.Empty(processes.Warnings);
        Assert.Equal(guest.Ids, processes.Items.Select(process => (uint)process.Id));
        Assert.Equal(["System", "smss.exe", "a long name of a process.exe"], processes.Items.Select(process => process.Name));
        Assert.Equal([0u, 4u, 0x108u], processes.Items.Select(process => (uint)process.ParentId));
        Assert.Equal([null, null, X86Guest.CommandLine], processes.Items.Select(process => process.CommandLine));
        Assert.Equal(guest.Tables, processes.Items.Select(process => (uint)process.DirectoryTableBase));
        Assert.All(processes.Items, process => Assert.Equal((1u, false), (process.ThreadCount, process.HasExited)));
        Assert.Equal(DateTime.FromFileTimeUtc((long)X86Guest.Time - 100_000_000), processes.Items[0].CreateTime!.Value.UtcDateTime);

        var drivers = X86Lists.Drivers(system, Ct);
        Assert.Empty(drivers.Warnings);
        Assert.Equal([("ntoskrnl.exe", X86Guest.Kernel), ("hal.dll", X86Guest.Hal), ("disk.sys", X86Guest.Driver)], drivers.Items.Select(driver => (driver.Name, (uint)driver.Base.Value)));
        Assert.Equal(["ntkrpamp.pdb", "halmacpi.pdb", "disk.pdb"], drivers.Items.Select(driver => driver.CodeView?.Name));
        Assert.Equal("\\SystemRoot\\system32\\ntkrnlpa.exe", drivers.Items[0].Path);
        return system;
    }
}
