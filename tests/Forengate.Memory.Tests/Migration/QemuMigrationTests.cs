using Forengate.Memory.Tests.Qemu;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Migration streams by real QEMU, judged by what the same QEMU says of the same stopped guest: pmemsave, ELF notes, info registers.</summary>
public sealed class QemuMigrationTests
{
    private const int LowSize = 32 << 20;

    [Theory]
    [InlineData("pc,max-ram-below-4g=32M", null)]
    [InlineData("q35,max-ram-below-4g=32M", null)]
    [InlineData("pc,max-ram-below-4g=32M", "compress")]
    [InlineData("pc,max-ram-below-4g=32M", "background-snapshot")]
    public void Stream_of_a_stopped_guest_equals_what_QEMU_says(string machine, string? capability)
    {
        using var qemu = LongModeMachine.Start(["qemu-system-x86_64"], RegisterStub.Image(), machine);
        qemu.Command("stop");
        var path = QemuStreams.Migrate(qemu, capability);
        qemu.Command("stop");
        using var view = ImageReader.Open(path);
        Assert.Equal("QEMU migration stream", view.Origin.Format);
        Assert.Equal(machine.StartsWith('q') ? "pc-q35-7.2" : "pc-i440fx-7.2", view.Origin.Machine);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(capability == "compress" ? "zlib" : "none", view.Origin.Packing);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.Equal([new PhysicalRange(default, LowSize), new PhysicalRange(new PhysicalAddress(1UL << 32), LowSize)], view.Memory.Ranges);
        QemuStreams.AssertMemoryEqual(qemu, view, 0x100000, LowSize - 0x100000);
        QemuStreams.AssertMemoryEqual(qemu, view, 1UL << 32, LowSize);
        QemuRegisters.AssertEqual(qemu, view.Cpus);
        QemuRegisters.AssertRestEqual(qemu, view.Cpus);
        AssertStubRegisters(view.Cpus[0]);
    }

    /// <summary>What "info registers" does not print.</summary>
    private static void AssertStubRegisters(CpuState cpu)
    {
        Assert.Equal(
            (RegisterStub.Star, RegisterStub.LStar, RegisterStub.CStar, RegisterStub.SfMask, RegisterStub.TscAux, RegisterStub.Pat),
            (cpu.Star!.Value, cpu.LStar!.Value, cpu.CStar!.Value, cpu.SfMask!.Value, cpu.TscAux!.Value, cpu.Pat!.Value));
        Assert.Equal(
            (RegisterStub.SysenterCs, RegisterStub.SysenterEsp, RegisterStub.SysenterEip, RegisterStub.Cr8, RegisterStub.Xcr0),
            (cpu.SysenterCs!.Value, cpu.SysenterEsp!.Value, cpu.SysenterEip!.Value, cpu.Cr8!.Value, cpu.Xcr0!.Value));
        Assert.Equal(0x4533333000UL, cpu.KernelGsBase);
        Assert.Equal(0xFFFFF80722222000UL, cpu.Gs!.Value.Base);
        Assert.Equal(0xFEE00900UL, cpu.ApicBase);
        Assert.Equal(0x027F, (int)cpu.Fcw!);
        // 1.0 was pushed last.
        Assert.Equal(Convert.FromHexString("0000000000000080FF3F"), cpu.St!.Value[..10].ToArray());
        Assert.Equal(0b1110_0000, (int)cpu.Ftw!);
    }
}
