using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>Cores made by real QEMU, judged by what the same QEMU says of itself: pmemsave, info registers, gva2gpa.</summary>
public sealed class QemuElfCoreTests
{
    private const int LowSize = 32 << 20;
    private const int HighSize = 32 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Core_of_a_long_mode_guest_equals_what_QEMU_says(bool paging)
    {
        using var qemu = StartLongMode();
        using var view = ImageReader.Open(qemu.Dump(paging));
        Assert.Equal("ELF core (64-bit)", view.Origin.Format);
        Assert.Equal("QEMU", view.Origin.Producer);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        QemuRegisters.AssertEqual(qemu, view.Cpus);
        AssertStubRegisters(view.Cpus[0]);
        if (!paging)
        {
            AssertMemoryEquals(qemu, view.Memory, 0, 0xA0000);
            AssertMemoryEquals(qemu, view.Memory, 0x100000, LowSize - 0x100000);
            AssertMemoryEquals(qemu, view.Memory, LongModeStub.AboveFourGiB, HighSize);
            Assert.Equal((ulong)(LowSize + HighSize), view.Memory.Size);
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains("firmware", StringComparison.Ordinal) && remark.Contains("-0x100000000", StringComparison.Ordinal));
        }
        else
        {
            // Only what the tables map is named: 2 MiB at 0, pages in the low memory, 2 MiB above 4 GiB; between two of one block everything is there.
            AssertMemoryEquals(qemu, view.Memory, 0, 0xC0_0000);
            AssertMemoryEquals(qemu, view.Memory, LongModeStub.AboveFourGiB, 2 << 20);
            Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(0xC0_0000)));
        }
    }

    [Fact]
    public void Page_walks_over_a_core_equal_QEMUs_own()
    {
        using var qemu = StartLongMode();
        using var view = ImageReader.Open(qemu.Dump(paging: false));
        var space = new AddressSpace(view.Memory, view.Cpus[0].Cr3!.Value);
        ulong[] addresses =
        [
            0, 0x8123, 0x1F_FFFF, 0x20_0000, 0x80_0000, 0x9F_FFFF, LongModeStub.HighHalf, LongModeStub.HighHalf + 0x1FFF, LongModeStub.HighHalf + 0x2000,
            LongModeStub.HighHalf + 0x7ABC, LongModeStub.HighHalf + 0x20_0000, LongModeStub.HighHalf + 0x3F_F123, LongModeStub.HighHalf + 0x4000_0000,
            0xFFFF_F6FB_7DBE_D000, 0xFFFF_F6FB_7DBE_DF68, 0xFFFF_F6FB_7DBE_D008, 0xFFFF_F680_0000_0000,
        ];
        var batch = new Translation[addresses.Length];
        space.Translate(Array.ConvertAll(addresses, address => new VirtualAddress(address)), batch);
        var mapped = 0;
        for (var i = 0; i < addresses.Length; i++)
        {
            var said = qemu.Monitor($"gva2gpa 0x{addresses[i]:x}").Trim();
            var translation = space.Translate(new VirtualAddress(addresses[i]));
            Assert.Equal(translation, batch[i]);
            Assert.Equal(said, translation.Ok ? $"gpa: {Hash(translation.Address.Value)}" : "Unmapped");
            mapped += translation.Ok ? 1 : 0;
        }
        Assert.InRange(mapped, 10, addresses.Length - 3);
    }

    [Fact]
    public void Core_of_a_guest_before_its_first_instruction_has_real_mode_registers()
    {
        using var qemu = QemuMachine.Start(
            "pc", "-S", "-device", "loader,addr=0x200000,data=0x1122334455667788,data-len=8", "-device", "loader,addr=0x3fffff8,data=0x8877665544332211,data-len=8");
        using var view = ImageReader.Open(qemu.Dump(paging: false));
        // For an i386, but of 64-bit class: the ROM ends at 4 GiB.
        Assert.Equal("ELF core (64-bit)", view.Origin.Format);
        QemuRegisters.AssertEqual(qemu, view.Cpus);
        Assert.Equal(0xFFFF_0000UL, view.Cpus[0].Cs!.Value.Base);
        Assert.Equal(0xFFF0UL, view.Cpus[0].Rip);
        Assert.False(view.Cpus[0].IsLongMode);
        Assert.True(view.Memory.TryRead(new PhysicalAddress(0x200000), out ulong value));
        Assert.Equal(0x1122334455667788UL, value);
        AssertMemoryEquals(qemu, view.Memory, 0x100000, (64 << 20) - 0x100000);
        Assert.Equal(64UL << 20, view.Memory.End.Value);
    }

    [Fact]
    public void A_core_cut_short_is_read_as_far_as_it_goes()
    {
        using var qemu = StartLongMode();
        var path = qemu.Dump(paging: false);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write))
            stream.SetLength(stream.Length - (40 << 20));
        using var view = ImageReader.Open(path);
        Assert.Equal(2, view.Cpus.Count);
        Assert.Contains(view.Origin.Damage, remark => remark.Contains("cut off", StringComparison.Ordinal));
        AssertMemoryEquals(qemu, view.Memory, 0x100000, 16 << 20);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(LongModeStub.AboveFourGiB)));
        Assert.Equal((ulong)(LowSize + HighSize), view.Memory.Size);
        Assert.Equal(0, view.Memory.Read(new PhysicalAddress(LongModeStub.AboveFourGiB), new byte[8]));
    }

    /// <summary>As C prints %#x: zero goes bare.</summary>
    private static string Hash(ulong value) => value == 0 ? "0" : $"0x{value:x}";

    internal static QemuMachine StartLongMode()
    {
        var qemu = LongModeMachine.Start("pc,max-ram-below-4g=32M");
        qemu.Command("stop");
        return qemu;
    }

    private static void AssertMemoryEquals(QemuMachine qemu, PhysicalMemory memory, ulong address, int length)
    {
        var expected = qemu.PhysicalBytes(address, length);
        var read = new byte[length];
        Assert.Equal(length, memory.Read(new PhysicalAddress(address), read));
        Assert.True(expected.AsSpan().SequenceEqual(read), $"memory at 0x{address:x} differs at +0x{expected.AsSpan().CommonPrefixLength(read):x}");
        for (var done = 0; done < length;)
        {
            var span = memory.Map(new PhysicalAddress(address + (ulong)done), length - done);
            Assert.False(span.IsEmpty);
            Assert.True(span.SequenceEqual(expected.AsSpan(done, span.Length)));
            done += span.Length;
        }
    }

    private static void AssertStubRegisters(CpuState cpu)
    {
        Assert.Equal(0xA0A1A2A3A4A5A6A7UL, cpu.Rax);
        Assert.Equal(0xA0A1A2A3A4A5A6A7UL, cpu.Cr2);
        Assert.Equal(0xFFFFF80112345678UL, cpu.Rsp);
        Assert.Equal(0x0102030405060708UL, cpu.Rbp);
        Assert.Equal(0x6162636465666768UL, cpu.Rdi);
        Assert.Equal(0x1515151515151515UL, cpu.R15);
        Assert.Equal(0x7FF711111111UL, cpu.Fs!.Value.Base);
        Assert.Equal(0xFFFFF80722222000UL, cpu.Gs!.Value.Base);
        Assert.Equal(0x4533333000UL, cpu.KernelGsBase);
        Assert.Equal(LongModeStub.Pml4, cpu.Cr3);
        Assert.Equal(new DescriptorTableRegister(0xFFFFF80000005000, 0xFFF), cpu.Idtr);
        Assert.True(cpu.IsLongMode);
        Assert.Equal(0, cpu.Cpl);
        Assert.Equal(4, cpu.PagingLevels);
    }
}
