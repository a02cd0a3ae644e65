using System.Buffers.Binary;
using System.Text;
using Forengate.Memory;

namespace Forengate.Windows.Tests;

/// <summary>With virtualization-based security CPUs are caught in the hypervisor or the secure kernel: Windows is found all the same, and they are told apart from its processors.</summary>
public sealed class ForeignCpuTests
{
    private const ulong Table = 0x38_0000, Image = 0xFFFF_F840_0020_0000, CodeAt = Image + 0x3000, Idt = 0xFFFF_F840_0100_0000;

    [Theory]
    [InlineData("hvix64.pdb", "in the hypervisor below Windows")]
    [InlineData("hvax64.pdb", "in the hypervisor below Windows")]
    [InlineData("securekernel.pdb", "in the secure kernel beside Windows")]
    [InlineData("other.pdb", "outside Windows' kernel, in other.pdb")]
    [InlineData(null, "outside Windows' kernel, as the hypervisor")]
    public void WindowsIsFoundAndTheCpuIsSaidToStandElsewhere(string? symbols, string place)
    {
        using var windows = SmallWindowsTests.Make(19041);
        windows.Cpus.Add(Foreign(windows, symbols));
        var found = windows.Find(TestProfiles.Store);
        Assert.True(found.System is not null, found.Reason + string.Join('\n', found.Facts));
        Assert.Equal(windows.Base, found.System.Image.Base.Value);
        Assert.Equal(SmallMemory.Root, found.System.SystemDirectoryTableBase);
        Assert.Contains(found.System.KernelFacts, fact => fact.How.Contains("self-referring", StringComparison.Ordinal));
        var fact = Assert.Single(found.System.KernelFacts, fact => fact.Name == "vCPU 0");
        Assert.StartsWith(place, fact.Value, StringComparison.Ordinal);
        Assert.Contains($"0x{CodeAt + 0x100:x}", fact.How, StringComparison.Ordinal);
        // The guest's KERNEL_GS_BASE is still loaded: these registers are not that processor's for all that.
        var processor = Assert.Single(found.System.Processors);
        Assert.Null(processor.Cpu);
        Assert.Equal("no vCPU stands in Windows' kernel", processor.MatchedBy);
        Assert.Same(windows.Cpus[0], Assert.Single(found.System.UnmatchedCpus));
        Assert.Equal(SmallWindows.Kpcr, windows.Cpus[0].KernelGsBase);
    }

    /// <summary>One vCPU in Windows, one in the hypervisor: the first leads to the kernel, and only it is a processor.</summary>
    [Fact]
    public void BesideOneInWindowsTheOtherIsToldApart()
    {
        using var windows = SmallWindowsTests.Make(19041);
        windows.Cpus.Add(Foreign(windows, "hvix64.pdb"));
        windows.Cpus.Add(SmallWindowsTests.Kernel(windows) with { Index = 1 });
        var system = windows.Find(TestProfiles.Store).System!;
        Assert.DoesNotContain(system.KernelFacts, fact => fact.How.Contains("self-referring", StringComparison.Ordinal));
        Assert.Equal(1, system.Processors[0].Cpu!.Index);
        Assert.Contains(system.KernelFacts, fact => fact is { Name: "vCPU 0" } && fact.Value!.StartsWith("in the hypervisor", StringComparison.Ordinal));
        Assert.DoesNotContain(system.KernelFacts, fact => fact.Name == "vCPU 1");
    }

    /// <summary>A vCPU of which nothing is proved is not called foreign.</summary>
    [Fact]
    public void WithoutAReadableIdtNothingIsClaimed()
    {
        using var windows = SmallWindowsTests.Make(19041);
        windows.Cpus.Add(Foreign(windows, "hvix64.pdb") with { Idtr = new DescriptorTableRegister(0xFFFF_F840_0200_0000, 0xFFF) });
        var system = windows.Find(TestProfiles.Store).System!;
        Assert.Equal(0, system.Processors[0].Cpu!.Index);
        Assert.DoesNotContain(system.KernelFacts, fact => fact.Name == "vCPU 0");
    }

    /// <summary>A page table, an IDT and an image of their own, in memory that Windows does not know.</summary>
    private static CpuState Foreign(SmallWindows windows, string? symbols)
    {
        var memory = windows.Memory;
        var next = Table + 0x1000;
        ulong Map(ulong address)
        {
            var table = Table;
            for (var shift = 39; shift >= 12; shift -= 9)
            {
                var slot = table + ((address >> shift & 511) * 8);
                memory.TryRead(new PhysicalAddress(slot), out ulong entry);
                if (entry == 0)
                {
                    memory.Put(slot, entry = next | 3);
                    next += 0x1000;
                }
                table = entry & 0xF_FFFF_FFFF_F000;
            }
            return table;
        }
        var idt = Map(Idt);
        for (var vector = 0UL; vector < 32; vector++)
        {
            var handler = CodeAt + 0x100 + (vector * 0x20);
            memory.Put(idt + (vector * 16), (handler & 0xFFFF) | (0x8E00UL << 32) | ((handler >> 16 & 0xFFFF) << 48));
            memory.Put(idt + (vector * 16) + 8, handler >> 32);
        }
        Map(CodeAt);
        if (symbols is not null)
        {
            var at = (int)Map(Image);
            var header = memory.Bytes[at..];
            BinaryPrimitives.WriteUInt16LittleEndian(header, 0x5A4D);
            BinaryPrimitives.WriteUInt32LittleEndian(header[0x3C..], 0x80);
            BinaryPrimitives.WriteUInt32LittleEndian(header[0x80..], 0x4550);
            BinaryPrimitives.WriteUInt16LittleEndian(header[0x84..], 0x8664);
            var optional = header[0x98..];
            BinaryPrimitives.WriteUInt16LittleEndian(optional, 0x20B);
            BinaryPrimitives.WriteUInt32LittleEndian(optional[56..], 0x20_0000);
            BinaryPrimitives.WriteUInt32LittleEndian(optional[108..], 16);
            BinaryPrimitives.WriteUInt32LittleEndian(optional[160..], 0x400);
            BinaryPrimitives.WriteUInt32LittleEndian(optional[164..], 28);
            BinaryPrimitives.WriteUInt32LittleEndian(header[0x40C..], 2);
            BinaryPrimitives.WriteUInt32LittleEndian(header[0x410..], (uint)(24 + symbols.Length + 1));
            BinaryPrimitives.WriteUInt32LittleEndian(header[0x414..], 0x440);
            "RSDS"u8.CopyTo(header[0x440..]);
            new Guid("12345678-1234-1234-1234-123456789abc").TryWriteBytes(header[0x444..]);
            BinaryPrimitives.WriteUInt32LittleEndian(header[0x454..], 1);
            Encoding.ASCII.GetBytes(symbols, header[0x458..]);
        }
        return SmallWindowsTests.Kernel(windows) with
        {
            Cr3 = Table, Idtr = new DescriptorTableRegister(Idt, 0xFFF), Rip = CodeAt + 0x20, Gs = new SegmentRegister(0, 0xFFFF_F840_0300_0000), KernelGsBase = SmallWindows.Kpcr,
        };
    }
}
