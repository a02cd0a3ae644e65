using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>Memory as an attacker leaves it: whatever comes out, nothing throws, hangs or grows without bound, and what is said is said with a reason.</summary>
public sealed class HostileMemoryTests
{
    private static readonly WindowsLimits s_tight = new() { Processes = 200, Drivers = 200, PageTables = 2000, PageTablesInAll = 8000, ImageSearches = 6 };

    private static void Exercise(SmallWindows windows)
    {
        var found = WindowsSystem.Find(windows.View(), TestProfiles.Store, s_tight);
        if (found.System is not { } system)
        {
            Assert.False(string.IsNullOrWhiteSpace(found.Reason));
            Assert.DoesNotContain('\n', found.Reason);
            return;
        }
        foreach (var listing in new[] { ProcessList.Walk(system), ProcessList.Scan(system) })
        {
            Assert.InRange(listing.Items.Count, 0, 1000);
            Assert.True(listing.Items.Count > 0 || listing.Warnings.Count > 0);
            Assert.Equal(listing.Items.Count, listing.Items.Select(p => p.Address).Distinct().Count());
        }
        foreach (var listing in new[] { DriverList.Walk(system), DriverList.Scan(system) })
            Assert.True(listing.Items.Count > 0 || listing.Warnings.Count > 0);
    }

    [Theory]
    [InlineData(7601)]
    [InlineData(19041)]
    public void BytesFlippedInStructures(int build)
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            using var windows = SmallWindowsTests.Make(build);
            if (seed % 2 == 0)
                windows.Cpus.Add(SmallWindowsTests.Kernel(windows, random.Next(5)));
            for (var i = random.Next(1, 60); i > 0; i--)
                windows.Memory.Bytes[random.Next(0x40_0000, 0x50_0000)] = (byte)random.Next(256);
            Exercise(windows);
        }
    }

    [Fact]
    public void PageTablesThatLeadAnywhere()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            using var windows = SmallWindowsTests.Make(17763);
            if (seed % 2 == 0)
                windows.Cpus.Add(SmallWindowsTests.Kernel(windows));
            for (var i = random.Next(1, 40); i > 0; i--)
            {
                var slot = (ulong)random.Next(0x1000 / 8, 0x2_0000 / 8) * 8;
                windows.Memory.Put(slot, ((ulong)(uint)random.Next(0x1800) << 12) | (uint)random.Next(256) | ((ulong)(uint)random.Next(2) << 11));
            }
            Exercise(windows);
        }
    }

    /// <summary>Pointers of the lists, the threads and the strings bent to each other, to themselves, to nowhere.</summary>
    [Fact]
    public void PointersBentToEachOther()
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            using var windows = SmallWindowsTests.Make(22000);
            windows.Cpus.Add(SmallWindowsTests.Kernel(windows));
            var process = windows.Layouts.Process;
            int[] fields =
            [
                process.ActiveProcessLinks, process.ActiveProcessLinks + 8, process.KernelThreadListHead!.Value, process.ProfileListHead!.Value, process.SeAuditImageFileName!.Value,
                process.Peb!.Value, process.Session!.Value, process.DirectoryTableBase,
            ];
            for (var i = random.Next(1, 12); i > 0; i--)
            {
                var at = windows.Processes[random.Next(5)] + (ulong)fields[random.Next(fields.Length)];
                windows.Put(at, random.Next(4) switch
                {
                    0 => windows.Processes[random.Next(5)] + (ulong)fields[random.Next(fields.Length)],
                    1 => 0,
                    2 => (ulong)random.NextInt64() | (random.Next(2) == 0 ? 0xFFFF_8000_0000_0000 : 0),
                    _ => windows.Base + (ulong)random.Next(0x6000),
                });
            }
            Exercise(windows);
        }
    }

    [Fact]
    public void TablesThatLeadToThemselvesOnEveryLevelCostNoMoreThanTheBound()
    {
        using var windows = SmallWindowsTests.Make(19041);
        for (var slot = 256UL; slot < 512; slot++)
            windows.Memory.Put(0x20_0000 + (slot * 8), (slot == 300 ? 0x20_0000UL : 0x20_1000) | 3);
        for (var slot = 0UL; slot < 512; slot++)
        {
            windows.Memory.Put(0x20_1000 + (slot * 8), 0x20_2003 + (slot % 2 * 0x1000));
            windows.Memory.Put(0x20_2000 + (slot * 8), 0x20_1003);
            windows.Memory.Put(0x20_3000 + (slot * 8), 0x20_3003);
        }
        Exercise(windows);
    }

    [Fact]
    public void ACommandLineInTheKernelsHalfIsNotRead()
    {
        using var windows = SmallWindowsTests.Make(19041);
        var process = windows.Layouts.Process;
        var found = windows.Find(TestProfiles.Store).System!;
        var target = ProcessList.Walk(found).Items[2];
        var space = new AddressSpace(windows.Memory, target.DirectoryTableBase);
        var descriptor = space.Translate(target.Peb!.Value + 0x800 + (ulong)process.ParametersCommandLine).Address;
        windows.Memory.Put(descriptor.Value + 8, windows.Base);
        Assert.Null(ProcessList.Walk(found).Items[2].CommandLine);
    }

    [Fact]
    public void MissingMemoryUnderAProcessIsSaid()
    {
        using var windows = SmallWindowsTests.Make(19041, finish: false);
        windows.Finish();
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows));
        var broken = windows.Processes[2] + (ulong)windows.Layouts.Process.ActiveProcessLinks;
        windows.Put(broken, 0xFFFFFA80_FFFF_0000);
        var listing = ProcessList.Walk(windows.Find(TestProfiles.Store).System!);
        Assert.Equal([4UL, 0x1A0UL, 0x2B4UL, 0x300UL, 0x400UL], listing.Items.Select(p => p.Id));
        Assert.NotEmpty(listing.Warnings);
    }
}
