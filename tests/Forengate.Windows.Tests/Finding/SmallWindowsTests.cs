using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

public sealed class SmallWindowsTests
{
    public static TheoryData<int> Builds => [.. TestProfiles.Builds];

    internal static SmallWindows Make(int build, bool finish = true)
    {
        var (profile, codeView) = TestProfiles.Of(build);
        var windows = new SmallWindows(profile, codeView);
        windows.AddProcess(4, 0, "System");
        windows.AddProcess(0x1A0, 4, @"\Device\HarddiskVolume2\Windows\System32\smss.exe", @"\SystemRoot\System32\smss.exe");
        windows.AddProcess(0x2B4, 0x1A0, @"\Device\HarddiskVolume2\Temp\Ж-окно.exe", "\"C:\\Temp\\Ж-окно.exe\" --x");
        windows.AddProcess(0x300, 0x2B4, @"\Device\HarddiskVolume2\gone.exe", exited: SmallWindows.Now - 5, threads: 0);
        windows.AddProcess(0x400, 0x2B4, @"\Device\HarddiskVolume2\hidden.exe", "hidden");
        windows.AddDriver("ntoskrnl.exe", windows.Base, 0x1046000);
        windows.AddDriver("hal.dll", 0xFFFFF80001600000, 0x50000);
        windows.AddDriver("evil.sys", 0xFFFFF88004400000, 0x9000);
        windows.AddDriver("disk.sys", 0xFFFFF88004600000, 0x19000);
        if (finish)
            windows.Finish(unlinked: [windows.Processes[4], windows.Drivers[2]]);
        return windows;
    }

    internal static CpuState Kernel(SmallWindows windows, int process = 0) => new()
    {
        Index = 0,
        Cr3 = windows.TableOf(process) | 0x7,
        Cr4 = 0x6F8,
        LStar = windows.Base + SmallWindows.CodeRva,
        Idtr = new DescriptorTableRegister(SmallWindows.Idt, 0xFFF),
        Gs = new SegmentRegister(0x2B, SmallWindows.Kpcr),
        KernelGsBase = 0x7FF_FFFD_E000,
        Rip = windows.Base + SmallWindows.CodeRva + 0x123,
    };

    [Theory]
    [MemberData(nameof(Builds))]
    public void RegistersLeadToTheSystem(int build)
    {
        using var windows = Make(build);
        windows.Cpus.Add(Kernel(windows, process: 2));
        var found = windows.Find(TestProfiles.Store);
        Assert.True(found.System is not null, found.Reason + string.Join('\n', found.Facts));
        Assert.Equal(SmallMemory.Root, found.System.SystemDirectoryTableBase);
        Assert.Equal(windows.Base, found.System.Image.Base.Value);
        Assert.Equal(windows.Processes[0], found.System.SystemProcess!.Value.Value);
        var processor = Assert.Single(found.System.Processors);
        Assert.Same(windows.Cpus[0], processor.Cpu);
        Assert.Equal("hidden.exe", processor.CurrentProcessName);
        Assert.Empty(found.System.UnmatchedCpus);
    }

    [Theory]
    [MemberData(nameof(Builds))]
    public void WithoutRegistersTheSearchLeadsToTheSameSystem(int build)
    {
        using var windows = Make(build);
        var found = windows.Find(TestProfiles.Store);
        Assert.True(found.System is not null, found.Reason + string.Join('\n', found.Facts));
        Assert.Equal(SmallMemory.Root, found.System.SystemDirectoryTableBase);
        Assert.Equal(windows.Base, found.System.Image.Base.Value);
    }

    [Theory]
    [MemberData(nameof(Builds))]
    public void TheListGivesWhatIsListed(int build)
    {
        using var windows = Make(build);
        var system = windows.Find(TestProfiles.Store).System!;
        var listing = ProcessList.Walk(system);
        Assert.Empty(listing.Warnings);
        Assert.Equal([4UL, 0x1A0UL, 0x2B4UL, 0x300UL], listing.Items.Select(p => p.Id));
        var window = listing.Items[2];
        Assert.Equal("Ж-окно.exe", window.Name);
        Assert.Equal(@"\Device\HarddiskVolume2\Temp\Ж-окно.exe", window.ImagePath);
        Assert.Equal("\"C:\\Temp\\Ж-окно.exe\" --x", window.CommandLine);
        Assert.Equal(0x1A0UL, window.ParentId);
        Assert.Equal(windows.TableOf(2), window.DirectoryTableBase);
        Assert.False(window.HasExited);
        Assert.True(listing.Items[3].HasExited);
        Assert.Equal("System", listing.Items[0].Name);
        Assert.Null(listing.Items[0].CommandLine);

        var drivers = DriverList.Walk(system);
        Assert.Empty(drivers.Warnings);
        Assert.Equal(["ntoskrnl.exe", "hal.dll", "disk.sys"], drivers.Items.Select(d => d.Name));
        Assert.Equal(system.Image.CodeView, drivers.Items[0].CodeView);
    }

    [Theory]
    [MemberData(nameof(Builds))]
    public void TheScanGivesWhatTheListHides(int build)
    {
        using var windows = Make(build);
        var system = windows.Find(TestProfiles.Store).System!;
        var processes = ProcessList.Scan(system);
        Assert.Empty(processes.Warnings);
        Assert.Equal([4UL, 0x1A0UL, 0x2B4UL, 0x300UL, 0x400UL], processes.Items.Select(p => p.Id));
        Assert.Equal([0x400UL], processes.Items.Where(p => !p.IsListed).Select(p => p.Id));
        Assert.Equal(windows.Processes.Select(p => new VirtualAddress(p)), processes.Items.Select(p => p.Address));

        var drivers = DriverList.Scan(system);
        Assert.Empty(drivers.Warnings);
        Assert.Equal(["evil.sys"], drivers.Items.Where(d => !d.IsListed).Select(d => d.Name));
        Assert.Equal(4, drivers.Items.Count);
    }

    [Fact]
    public void AKernelWithoutAProfileIsNamed()
    {
        var (profile, codeView) = TestProfiles.Of(19041);
        using var windows = new SmallWindows(profile, codeView with { Guid = new Guid("00112233-4455-6677-8899-aabbccddeeff") });
        windows.AddProcess(4, 0, "System");
        windows.PutBytes(windows.Base + 0x4000, [0xBD, 0x04, 0xEF, 0xFE, 0, 0, 1, 0, 0, 0, 10, 0, 1, 0, 0x61, 0x4A]);
        windows.Finish();
        windows.Cpus.Add(Kernel(windows));
        var found = windows.Find(TestProfiles.Store);
        Assert.Null(found.System);
        Assert.Contains("00112233-4455-6677-8899-aabbccddeeff", found.Reason, StringComparison.Ordinal);
        Assert.Contains("10.0.19041.1", found.Reason, StringComparison.Ordinal);
        Assert.Contains("--symbols", found.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void MemoryWithoutWindowsSaysWhatWasSearched()
    {
        using var memory = new SmallMemory();
        using var view = new View(memory, [], new Consistency(ConsistencyLevel.Unknown, ""), new ViewOrigin { Target = "t", Format = "raw" });
        var found = WindowsSystem.Find(view, TestProfiles.Store);
        Assert.Null(found.System);
        Assert.Contains("1,024 pages", found.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void RandomMemoryIsTakenForEncrypted()
    {
        using var memory = new SmallMemory(32 << 20);
        new Random(1).NextBytes(memory.Bytes);
        using var view = new View(memory, [], new Consistency(ConsistencyLevel.Unknown, ""), new ViewOrigin { Target = "t", Format = "raw" });
        Assert.Contains("SEV", WindowsSystem.Find(view, TestProfiles.Store).Reason, StringComparison.Ordinal);
    }
}
