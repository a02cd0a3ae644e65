using Forengate.Memory.Tests.Qemu;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Migration streams by real QEMU, judged by what the same QEMU says of the same stopped guest: pmemsave, ELF notes, info registers.</summary>
public sealed class QemuMigrationTests
{
    private const int LowSize = 32 << 20;

    [Theory]
    [InlineData("pc,max-ram-below-4g=32M", null)]
    [InlineData("q35,max-ram-below-4g=32M", null)]
    public void Stream_of_a_stopped_guest_equals_what_QEMU_says(string machine, string? capability)
    {
        using var qemu = LongModeMachine.Start(machine);
        qemu.Command("stop");
        var path = QemuStreams.Migrate(qemu, capability);
        using var view = ImageReader.Open(path, new ImageOpenOptions { RawLowSize = LowSize, Format = "qevm" });
        Assert.Equal("QEMU migration stream", view.Origin.Format);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal([new PhysicalRange(default, LowSize), new PhysicalRange(new PhysicalAddress(1UL << 32), LowSize)], view.Memory.Ranges);
        QemuStreams.AssertMemoryEqual(qemu, view, 0x100000, LowSize - 0x100000);
        QemuStreams.AssertMemoryEqual(qemu, view, 1UL << 32, LowSize);
    }
}
