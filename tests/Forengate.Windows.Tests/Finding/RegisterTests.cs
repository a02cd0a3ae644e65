using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>Whatever process, privilege or instant the CPUs were caught in.</summary>
public sealed class RegisterTests
{
    private const ulong UserTable = 0x3F_0000;

    public static TheoryData<int> Builds => [.. TestProfiles.Builds];

    /// <summary>A table that maps what Windows maps for user mode under KVA shadow: the entry code, the IDT, and the KPRCB's page with the kernel's table base.</summary>
    private static void PutShadow(SmallWindows windows, bool garbageBeside = false)
    {
        var offset = TestProfiles.ShadowOffset(windows.Profile);
        windows.Put(SmallWindows.Kpcr + (ulong)offset, windows.TableOf(1) | 0x8000_0000_0000_0003);
        var next = UserTable + 0x1000;
        void Map(ulong address)
        {
            var table = UserTable;
            for (var shift = 39; shift > 12; shift -= 9)
            {
                var slot = table + ((address >> shift & 511) * 8);
                windows.Memory.TryRead(new PhysicalAddress(slot), out ulong entry);
                if (entry == 0)
                {
                    entry = next | 3;
                    next += 0x1000;
                    windows.Memory.Put(slot, entry);
                }
                table = entry & 0xF_FFFF_FFFF_F000;
            }
            windows.Memory.Put(table + ((address >> 12 & 511) * 8), (windows.At(address) & ~0xFFFUL) | 3);
        }
        Map(windows.Base + SmallWindows.CodeRva);
        Map(SmallWindows.Idt);
        Map(SmallWindows.Kpcr + (ulong)offset);
        if (garbageBeside)
        {
            foreach (var other in TestProfiles.AllShadowOffsets.Where(o => o != offset))
            {
                windows.Put(SmallWindows.Kpcr + (ulong)other, 0x0000_0000_0055_5000);
                Map(SmallWindows.Kpcr + (ulong)other);
            }
        }
    }

    private static CpuState User(SmallWindows windows) => SmallWindowsTests.Kernel(windows) with
    {
        Cr3 = UserTable | 0x8000_0000_0000_0002,
        Gs = new SegmentRegister(0x2B, 0x7FF_FFFD_E000),
        KernelGsBase = SmallWindows.Kpcr,
        Rip = 0x7FF6_1234_5678,
        Cs = new SegmentRegister(0x33),
    };

    private static void AssertFound(SmallWindows windows)
    {
        var found = windows.Find(TestProfiles.Store);
        Assert.True(found.System is not null, found.Reason + string.Join('\n', found.Facts));
        Assert.Equal(SmallMemory.Root, found.System.SystemDirectoryTableBase);
        Assert.Equal(windows.Base, found.System.Image.Base.Value);
        Assert.DoesNotContain(found.System.KernelFacts, f => f.How.Contains("self-referring", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Builds))]
    public void UnderAUserTheKernelsTableComesFromTheProcessorBlock(int build)
    {
        using var windows = SmallWindowsTests.Make(build);
        PutShadow(windows);
        windows.Cpus.Add(User(windows));
        AssertFound(windows);
    }

    [Theory]
    [MemberData(nameof(Builds))]
    public void OtherBuildsOffsetsThatHoldGarbageDoNoHarm(int build)
    {
        using var windows = SmallWindowsTests.Make(build);
        PutShadow(windows, garbageBeside: true);
        windows.Cpus.Add(User(windows));
        AssertFound(windows);
    }

    /// <summary>In the kernel, before SWAPGS: privilege 0, the user's table and GS base still loaded.</summary>
    [Fact]
    public void BetweenEntryAndSwapgsTheKpcrIsInKernelGsBase()
    {
        using var windows = SmallWindowsTests.Make(19041);
        PutShadow(windows);
        windows.Cpus.Add(User(windows) with { Rip = windows.Base + SmallWindows.CodeRva, Cs = new SegmentRegister(0x10) });
        AssertFound(windows);
        var system = windows.Find(TestProfiles.Store).System!;
        Assert.StartsWith("KERNEL_GS_BASE", system.Processors[0].MatchedBy, StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownAndGarbageCpusBesideOneGoodOneAreNoObstacle()
    {
        using var windows = SmallWindowsTests.Make(9600);
        windows.Cpus.Add(new CpuState { Index = 0 });
        windows.Cpus.Add(new CpuState { Index = 1, Cr3 = 0xFFFF_FFFF_FFFF_FFFF, LStar = ulong.MaxValue, Rip = 0x8000_0000_0000_0000, Idtr = new DescriptorTableRegister(0x1234, 0xFFFF), Gs = new SegmentRegister(0, 0xFFFF_FFFF_FFFF_FFF8), KernelGsBase = 0xFFFF_8000_0000_0000 });
        windows.Cpus.Add(new CpuState { Index = 2, Cr3 = 0x5000, LStar = 0xFFFFF80000000000, Cr4 = 0x1000 });
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows) with { Index = 3 });
        AssertFound(windows);
        var system = windows.Find(TestProfiles.Store).System!;
        Assert.Equal(3, system.Processors[0].Cpu!.Index);
        Assert.Equal([0, 1, 2], system.UnmatchedCpus.Select(c => c.Index));
    }

    [Fact]
    public void WithoutLstarTheExceptionHandlersLeadToTheImage()
    {
        using var windows = SmallWindowsTests.Make(14393);
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows) with { LStar = null, Rip = null });
        AssertFound(windows);
        using var hooked = SmallWindowsTests.Make(14393);
        hooked.Cpus.Add(SmallWindowsTests.Kernel(hooked) with { LStar = 0xFFFF_C000_1234_0000, Rip = 0xFFFF_D000_0000_0000 });
        AssertFound(hooked);
    }

    [Fact]
    public void RegistersOfAnotherSystemLeaveTheSearch()
    {
        using var windows = SmallWindowsTests.Make(20348);
        windows.Cpus.Add(new CpuState { Index = 0, Cr3 = 0x3F_8000, Cr4 = 0x20, LStar = 0xFFFF_FFFF_8200_0000 });
        var found = windows.Find(TestProfiles.Store);
        Assert.NotNull(found.System);
        Assert.Contains(found.System.KernelFacts, f => f.How.Contains("self-referring", StringComparison.Ordinal));
    }

    [Fact]
    public void TheStartBlockBelow640KiBIsAWayIn()
    {
        using var windows = SmallWindowsTests.Make(17763);
        // The small memory keeps page tables there: one page of the range is free.
        windows.Memory.Put(0x9_0000, 0x0000_0001_0006_4DE9);
        windows.Memory.Put(0x9_0070, windows.Base + SmallWindows.CodeRva);
        windows.Memory.Put(0x9_00A0, SmallMemory.Root);
        var found = windows.Find(TestProfiles.Store);
        Assert.NotNull(found.System);
        Assert.Contains(found.System.KernelFacts, f => f.How.Contains("start block", StringComparison.Ordinal));
    }

    /// <summary>Pages between the code and the header are gone, as after discarding INIT; the header's page lies alone.</summary>
    [Fact]
    public void HolesBelowTheCodeDoNotStopTheWayDown()
    {
        using var windows = SmallWindowsTests.Make(19041);
        windows.At(windows.Base + 0x90_0000);
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows) with { LStar = windows.Base + 0x90_0123, Idtr = null, Rip = null });
        AssertFound(windows);
    }

    [Fact]
    public void ADecoyImageOnTheWayDownIsPassed()
    {
        using var windows = SmallWindowsTests.Make(19041);
        windows.Put(windows.Base + 0x4000, 0x5A4D);
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows));
        AssertFound(windows);
    }

    /// <summary>An earlier boot's kernel, page tables and System process still in memory, older than the running one.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void OfTwoWholeSystemsInMemoryTheLaterIsTaken(bool laterFirst)
    {
        using var old = SmallWindowsTests.Make(19041);
        old.Put(SmallWindows.SharedPage + (ulong)old.Layouts.SharedData.SystemTime, SmallWindows.Now - 1_000_000);
        using var current = SmallWindowsTests.Make(19041);
        using var both = new JoinedMemory(laterFirst ? current.Memory : old.Memory, laterFirst ? old : current);
        using var view = new View(both, [], new Consistency(ConsistencyLevel.Unknown, ""), new ViewOrigin { Target = "t", Format = "raw" });
        var found = WindowsSystem.Find(view, TestProfiles.Store);
        Assert.NotNull(found.System);
        Assert.Equal(SmallWindows.Now, found.System.SharedData!.SystemTime);
        Assert.Equal(laterFirst ? SmallMemory.Root : SmallMemory.Root + 0x80_0000, found.System.SystemDirectoryTableBase);
    }

    [Fact]
    public void ADifferentMemoryInTheSystemProcessIsNotBelieved()
    {
        using var windows = SmallWindowsTests.Make(19041);
        windows.Put(windows.Processes[0] + (ulong)windows.Layouts.Process.UniqueProcessId, 8);
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows));
        var found = windows.Find(TestProfiles.Store);
        Assert.Null(found.System);
        Assert.Contains("no System process", found.Reason, StringComparison.Ordinal);
    }

    /// <summary>Five levels: a table above the others, which alone refers to itself.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void FiveLevelsAreFollowed(bool registers)
    {
        const ulong top = 0x3E_0000;
        using var windows = SmallWindowsTests.Make(20348, finish: false);
        windows.Put(windows.Processes[0] + (ulong)windows.Layouts.Process.DirectoryTableBase, top);
        windows.Finish(before: small =>
        {
            small.Memory.Put(SmallMemory.Root + (0x1ED * 8), 0);
            small.Memory.Put(top + (511 * 8), SmallMemory.Root | 3);
            small.Memory.Put(top + (0x1A0 * 8), top | 3);
        });
        for (var process = 1; process < windows.Processes.Count; process++)
            windows.Memory.Put(windows.TableOf(process) + (0x1ED * 8), 0);
        if (registers)
            windows.Cpus.Add(SmallWindowsTests.Kernel(windows) with { Cr3 = top, Cr4 = 0x16F8 });
        var found = windows.Find(TestProfiles.Store);
        Assert.True(found.System is not null, found.Reason + string.Join('\n', found.Facts));
        Assert.Equal(5, found.System.Levels);
        Assert.Equal(top, found.System.SystemDirectoryTableBase);
        Assert.Equal(5, ProcessList.Walk(found.System).Items.Count);
    }
}
