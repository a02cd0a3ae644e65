using Forengate.Memory.Tests.Lime;

namespace Forengate.Memory.Tests.Vmware;

public sealed class VmwareTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("forengate-vmware-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(".vmss", true)]
    [InlineData(".vmsn", true)]
    [InlineData(".vmsn", false)]
    public void Either_file_of_a_pair_gives_memory_where_it_belongs_and_registers(string extension, bool blocks)
    {
        var memory = LimeTests.Memory(24, 1);
        var cpus = new[] { CpuSamples.Full(0, 1), CpuSamples.Full(1, 2) }.Select(cpu => cpu with { Rflags = 0x246, Cr8 = 7, Idtr = new DescriptorTableRegister(0xFFFF_F800_0000_1000, 0xFFF) }).ToArray();
        var state = Write("a" + extension, new VmwareBuilder().Group("Checkpoint").Value("x", 1, 1)
            .Regions((0, 0, 16), (0x10_0000, 16, 8)).Group("cpu").Value("cpu:numVCPUs", 2, 4).Cpu(0, cpus[0], blocks).Cpu(1, cpus[1], blocks).Build());
        var vmem = Write("a.vmem", memory);
        foreach (var path in new[] { state, vmem })
        {
            using var view = ImageReader.Open(path);
            Assert.Equal(("VMware state and .vmem", "VMware", ConsistencyLevel.Instant), (view.Origin.Format, view.Origin.Producer, view.Consistency.Level));
            Assert.Equal([new PhysicalRange(default, 0x1_0000), new PhysicalRange(new PhysicalAddress(0x1_0000_0000), 0x8000)], view.Memory.Ranges);
            AssertBytes(view.Memory, 0, memory.AsSpan(0, 0x1_0000));
            AssertBytes(view.Memory, 0x1_0000_0000, memory.AsSpan(0x1_0000));
            Assert.Empty(view.Origin.Damage);
            Assert.Equal([0, 1], view.Cpus.Select(cpu => cpu.Index));
            foreach (var (wanted, got) in cpus.Zip(view.Cpus))
            {
                Assert.Equal((wanted.Rax, wanted.Rsp, wanted.R15, wanted.Rip, wanted.Rflags), (got.Rax, got.Rsp, got.R15, got.Rip, got.Rflags));
                Assert.Equal((wanted.Cr0, wanted.Cr2, wanted.Cr3, wanted.Cr4), (got.Cr0, got.Cr2, got.Cr3, got.Cr4));
                Assert.Equal((wanted.Cs!.Value.Selector, wanted.Gs!.Value.Base, wanted.Fs!.Value.Base, wanted.Tr!.Value.Selector), (got.Cs!.Value.Selector, got.Gs!.Value.Base, got.Fs!.Value.Base, got.Tr!.Value.Selector));
                Assert.Equal(blocks ? wanted.Idtr : null, got.Idtr);
                Assert.Equal(blocks ? wanted.Cr8 : null, got.Cr8);
                Assert.Null(got.Efer);
            }
        }
        using var raw = ImageReader.Open(vmem, new ImageOpenOptions { Format = "raw" });
        Assert.Equal(new PhysicalRange(default, (ulong)memory.Length), Assert.Single(raw.Memory.Ranges));
    }

    [Fact]
    public void Memory_within_the_state_file_is_read()
    {
        var memory = LimeTests.Memory(6, 1);
        foreach (var regions in new[] { true, false })
        {
            var builder = regions ? new VmwareBuilder().Regions((0x10, 0, 2), (0x100, 2, 4)) : new VmwareBuilder().Regions();
            using var view = ImageReader.Open(Write("in.vmsn", builder.Block("Memory", memory, 777, false, 0, 0).Value("later", 1, 4).Build()));
            Assert.Equal("VMware state with memory", view.Origin.Format);
            AssertBytes(view.Memory, regions ? 0x1_0000u : 0, memory.AsSpan(0, 0x2000));
            AssertBytes(view.Memory, regions ? 0x10_0000u : 0x2000, memory.AsSpan(0x2000));
            Assert.Equal(ConsistencyLevel.MemoryOnly, view.Consistency.Level);
        }
    }

    [Fact]
    public void What_cannot_be_read_is_refused_with_a_reason_and_what_is_cut_off_is_said()
    {
        var lone = new VmwareBuilder().Regions((0, 0, 4)).Build();
        Assert.Contains("put lone.vmem beside it", Refused(Write("lone.vmss", lone)), StringComparison.Ordinal);
        Assert.Contains("packed by VMware", Refused(Write("packed.vmsn", new VmwareBuilder().Regions().Block("Memory", new byte[5000], 0, true, 0, 0).Build())), StringComparison.Ordinal);
        Assert.Contains("32-bit sizes", Refused(Write("old.vmss", new VmwareBuilder { Magic = 0xBED0_BED0 }.Regions().Build())), StringComparison.Ordinal);
        Assert.Contains("cut off within its header", Refused(Write("head.vmss", lone[..9])), StringComparison.Ordinal);

        var state = new VmwareBuilder().Regions((0, 0, 4), (0x100, 4, 4)).Build();
        Write("cut.vmem", LimeTests.Memory(6, 1));
        using (var view = ImageReader.Open(Write("cut.vmss", state)))
            Assert.Contains("cut.vmem' is cut off: 0x2000 of 0x8000 bytes", Assert.Single(view.Origin.Damage), StringComparison.Ordinal);
        Write("some.vmem", LimeTests.Memory(8, 1));
        using (var view = ImageReader.Open(Write("some.vmss", state[..^12])))
        {
            Assert.Equal(new PhysicalRange(default, 0x4000), Assert.Single(view.Memory.Ranges));
            Assert.Contains(view.Origin.Damage, line => line.Contains("within its group 'memory'", StringComparison.Ordinal));
            Assert.Contains(view.Origin.Damage, line => line.Contains("1 of 2 regions", StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData("HIBR", "is a hibernation file")]
    [InlineData("hibr", "is a hibernation file")]
    [InlineData("wake", "in state WAKE")]
    [InlineData("RSTR", "in state RSTR")]
    public void A_hibernation_file_is_declined_with_a_reason(string signature, string reason)
    {
        var file = new byte[1 << 20];
        System.Text.Encoding.ASCII.GetBytes(signature).CopyTo(file, 0);
        Assert.Contains(reason, Refused(Write("hiberfil.sys", file)), StringComparison.Ordinal);
    }

    private string Write(string name, byte[] bytes)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private static string Refused(string path)
    {
        var message = Assert.Throws<ImageFormatException>(() => ImageReader.Open(path)).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private static void AssertBytes(PhysicalMemory memory, ulong address, ReadOnlySpan<byte> expected)
    {
        var read = new byte[expected.Length];
        Assert.Equal(read.Length, memory.Read(new PhysicalAddress(address), read));
        Assert.True(expected.SequenceEqual(read));
    }
}
