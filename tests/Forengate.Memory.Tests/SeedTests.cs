using System.Text;
using Forengate.Memory.Tests.Lime;
using Forengate.Memory.Tests.QemuProcess;
using Forengate.Memory.Tests.Vmware;
using Forengate.Testing;

namespace Forengate.Memory.Tests;

/// <summary>
/// The seeds of tests/corpus that are made by hand, and cores of VirtualBox. FORENGATE_WRITE_CORPUS=1 writes them anew; else each must still hold what its builder makes.
/// </summary>
public sealed class SeedTests
{
    private static readonly CpuState s_cpu =
        CpuSamples.WithVectors(CpuSamples.Full(0, 1), 2) with { Xcr0 = 7, Gdtr = new DescriptorTableRegister(1, 2), Idtr = new DescriptorTableRegister(3, 4), Cr8 = null, Tsc = null, DebugCtl = null };

    private static readonly byte[] s_low = LimeTests.Memory(4, 1), s_high = LimeTests.Memory(3, 2);

    private static readonly Dictionary<string, Func<byte[]>> s_seeds = new(StringComparer.Ordinal)
    {
        ["lime/two-ranges.lime"] = () => new LimeBuilder().Plain(0x1000, s_low).Plain(0x1_0000_0000, s_high).Build(),
        ["lime/odd-end.lime"] = () => new LimeBuilder().Plain(0x1000, s_low[..0x3C00]).Plain(0x10_0000, s_high).Build(),
        ["lime/cut-off.lime"] = () => new LimeBuilder().Plain(0x1000, s_low).Plain(0x1_0000_0000, s_high).Build()[..^0x1234],
        ["avml/compressed.avml"] = () => new LimeBuilder().Packed(0x1000, s_low).Packed(0x10_0000, LimeTests.Memory(18, 3)).Build(),
        ["avml/mixed.avml"] = () => new LimeBuilder().Packed(0, s_low).Plain(0x10_0000, s_high).Packed(0x1_0000_0000, s_low[..0x2A00]).Build(),
        ["avml/cut-off.avml"] = () => new LimeBuilder().Packed(0, s_low).Packed(0x10_0000, LimeTests.Memory(18, 3)).Build()[..^100],
        ["vmware/memory-inside.vmsn"] = () => new VmwareBuilder().Regions((0, 0, 4), (0x100, 4, 3)).Block("Memory", [.. s_low, .. s_high], 321, false, 0, 0).Group("cpu").Cpu(0, s_cpu, true).Build(),
        ["vmware/registers-by-tag.vmss"] = () => new VmwareBuilder().Group("cpu").Value("cpu:numVCPUs", 1, 4).Cpu(0, s_cpu, false).Regions().Block("Memory", s_low, 0, false, 0, 0).Build(),
        ["vmware/no-memory.vmss"] = () => new VmwareBuilder().Regions((0, 0, 4)).Group("cpu").Cpu(0, s_cpu, true).Build(),
        ["elf/virtualbox.elf"] = () => VirtualBoxCore.Make(s_low, s_high, s_cpu),
        ["elf/qemu.elf"] = () => new ElfCoreBuilder().Notes(ElfCoreBuilder.PrStatus64(1, 5), ElfCoreBuilder.QemuNote(1)).Load(0, s_low).Load(0xFFFF_F000, new byte[Page.Size]).Load(0x1_0000_0000, s_high).Build(),
        ["elf/qemu-i386.elf"] = () => new ElfCoreBuilder(is64: false) { Machine = 3 }.Notes(ElfCoreBuilder.QemuNote(1)).Load(0, s_low).Build(),
        ["elf/many-headers.elf"] = () => new ElfCoreBuilder { ManyHeaders = true }.Load(0, s_low).LoadAt(0x10_0000, 0, 0, 0x4000).Build(),
        ["elf/forengate.elf"] = OurCore,
        ["qemu-core/split.core"] = () => QemuCoreTests.Split([.. s_low, .. s_low]).Build(),
        ["raw/low.raw"] = () => s_low,
        ["raw/hibernated.sys"] = () => [.. "HIBR"u8, .. new byte[2 * Page.Size]],
    };

    public static TheoryData<string> Seeds => [.. s_seeds.Keys];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void A_seed_holds_what_its_builder_makes(string name)
    {
        var path = Checkout.PathOf(Path.Combine("tests/corpus", name));
        var made = s_seeds[name]();
        if (Environment.GetEnvironmentVariable("FORENGATE_WRITE_CORPUS") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(path, made);
        }
        using var file = new TemporaryFile(made, Path.GetExtension(name));
        Assert.Equal(Describe(file.Path), Describe(path));
    }

    [Fact]
    public void A_core_of_VirtualBox_gives_RAM_and_every_register_it_has()
    {
        using var file = new TemporaryFile(VirtualBoxCore.Make(s_low, s_high, s_cpu, s_cpu with { Rip = 77 }));
        using var view = ImageReader.Open(file.Path);
        Assert.Equal(("VirtualBox 7.1.6 r167084", ConsistencyLevel.Instant), (view.Origin.Producer, view.Consistency.Level));
        Assert.Equal([new PhysicalRange(default, 0x4000), new PhysicalRange(new PhysicalAddress(0x1_0000_0000), 0x3000)], view.Memory.Ranges);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal([s_cpu.Rip, 77UL], view.Cpus.Select(cpu => cpu.Rip));
        // Attributes: all that a descriptor has there but the limit's bits.
        var wanted = s_cpu with { Cs = Masked(s_cpu.Cs), Ds = Masked(s_cpu.Ds), Es = Masked(s_cpu.Es), Fs = Masked(s_cpu.Fs), Gs = Masked(s_cpu.Gs), Ss = Masked(s_cpu.Ss), Ldtr = Masked(s_cpu.Ldtr), Tr = Masked(s_cpu.Tr) };
        Assert.Empty(CpuSamples.Differences(wanted, view.Cpus[0]));

        static SegmentRegister? Masked(SegmentRegister? register) => register!.Value with { Attributes = register.Value.Attributes & 0xF0_FF00 };
    }

    [Fact]
    public void A_core_of_VirtualBox_of_another_format_gives_memory_without_registers()
    {
        var core = VirtualBoxCore.Make(s_low, s_high, s_cpu);
        core[64 + (5 * 56) + 20 + 4] = 9;
        using var file = new TemporaryFile(core);
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Cpus);
        Assert.Contains("1 CPU notes", Assert.Single(view.Origin.Damage), StringComparison.Ordinal);
        Assert.Equal(0x7000UL, view.Memory.Size);
    }

    private static byte[] OurCore()
    {
        var memory = new TestMemory([new PhysicalRange(default, 0x6000), new PhysicalRange(new PhysicalAddress(0x1_0000_0000), 0x1000)]);
        memory.Write(0, s_low);
        memory.SetState(0x4000, PageState.Ballooned);
        memory.SetState(0x5000, PageState.Missing);
        memory.SetState(0x1_0000_0000, PageState.Excluded);
        var origin = new ViewOrigin { Target = "x", Format = "by hand", GuestName = "seed", TakenAt = DateTimeOffset.UnixEpoch };
        using var view = new View(memory, [s_cpu], new Consistency(ConsistencyLevel.Instant, "by hand"), origin);
        using var output = new MemoryStream();
        new ElfCoreWriter().Write(view, output, ImageWriteOptions.Default, null, default);
        return output.ToArray();
    }

    /// <summary>All that a reader sees, or why it refuses.</summary>
    private static string Describe(string path)
    {
        var text = new StringBuilder();
        try
        {
            using var view = ImageReader.Open(path);
            text.AppendLine($"{view.Origin.Format} {view.Origin.Producer} {view.Consistency} {string.Join(' ', view.Memory.Ranges)} {string.Join(' ', view.Origin.Damage)}");
            foreach (var run in MemorySurvey.Of(view.Memory).Runs)
            {
                var bytes = new byte[run.Range.Length];
                text.AppendLine($"{run.Range} {run.State} {view.Memory.Read(run.Range.Start, bytes)} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes))}");
            }
            foreach (var cpu in view.Cpus)
                text.AppendLine(Convert.ToHexString(CpuNotes.Write([cpu])));
        }
        catch (ImageFormatException refused)
        {
            text.AppendLine(refused.Message);
        }
        return text.ToString().Replace(path, "", StringComparison.Ordinal).Replace(Path.GetFileNameWithoutExtension(path), "", StringComparison.Ordinal);
    }
}
