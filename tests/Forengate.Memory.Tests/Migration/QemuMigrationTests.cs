using Forengate.Memory.Tests.Qemu;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Migration streams by real QEMU, judged by what the same QEMU says of the same stopped guest: pmemsave, info registers, its list of memory devices.</summary>
public sealed class QemuMigrationTests
{
    private const int LowSize = 32 << 20;
    private const string Pc = "pc,max-ram-below-4g=32M";
    private const string Q35 = "q35,max-ram-below-4g=32M";

    [Theory]
    [InlineData(Pc, null, "none")]
    [InlineData(Q35, null, "none")]
    [InlineData(Pc, "compress", "zlib")]
    [InlineData(Q35, "background-snapshot", "none")]
    [InlineData(Pc, "xbzrle", "none")]
    [InlineData(Pc, "zero-blocks", "none")]
    public void Stream_of_a_stopped_guest_equals_what_QEMU_says(string machine, string? capability, string packing)
    {
        using var qemu = LongModeMachine.Start(["qemu-system-x86_64"], RegisterStub.Image(), machine);
        qemu.Command("stop");
        var path = QemuStreams.Migrate(qemu, capability);
        if (capability == "background-snapshot")
            qemu.Command("stop");
        // Without a firmware that sets up PCI, q35's tables don't have the hole yet: the user says it then.
        using var view = ImageReader.Open(path, new ImageOpenOptions { RawLowSize = machine == Q35 ? LowSize : null });
        Assert.Equal("QEMU migration stream", view.Origin.Format);
        Assert.Equal(machine == Q35 ? "pc-q35-7.2" : "pc-i440fx-7.2", view.Origin.Machine);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(packing, view.Origin.Packing);
        Assert.Equal((ulong)new FileInfo(path).Length, view.Origin.FileBytes);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.Contains(machine == Q35 ? "user" : "ACPI", view.Origin.Blocks[0].PlacedBy, StringComparison.Ordinal);
        Assert.Equal([new PhysicalRange(default, LowSize), new PhysicalRange(new PhysicalAddress(1UL << 32), LowSize)], view.Memory.Ranges);
        QemuStreams.AssertMemoryEqual(qemu, view, 0x100000, LowSize - 0x100000);
        QemuStreams.AssertMemoryEqual(qemu, view, 1UL << 32, LowSize);
        QemuRegisters.AssertEqual(qemu, view.Cpus);
        QemuRegisters.AssertRestEqual(qemu, view.Cpus);
        AssertStubRegisters(view.Cpus[0]);
    }

    [Theory]
    [InlineData("pc,max-ram-below-4g=256M")]
    [InlineData("q35,max-ram-below-4g=256M")]
    public void Nodes_and_memory_devices_lie_where_QEMU_puts_them(string machine)
    {
        using var qemu = QemuMachine.Start(
            machine, "-m", "512,slots=4,maxmem=8G", "-object", "memory-backend-ram,id=odd,size=384M", "-object", "memory-backend-ram,id=ram-node1,size=128M",
            "-numa", "node,memdev=odd,cpus=0", "-numa", "node,memdev=ram-node1,cpus=1", "-object", "memory-backend-ram,id=mem1,size=64M", "-device", "pc-dimm,id=dimm1,memdev=mem1",
            "-object", "memory-backend-ram,id=vm0,size=256M", "-device", "virtio-mem-pci,id=vmem0,memdev=vm0,requested-size=128M",
            "-object", "memory-backend-ram,id=mem2,size=64M", "-device", "pc-dimm,id=dimm2,memdev=mem2",
            "-device", "loader,addr=0x1000000,data=0x1111,data-len=8", "-device", "loader,addr=0x100001000,data=0x2222,data-len=8", "-device", "loader,addr=0x108001000,data=0x3333,data-len=8",
            "-device", "loader,addr=0x140001000,data=0x4444,data-len=8", "-device", "loader,addr=0x154001000,data=0x5555,data-len=8");
        qemu.Command("stop");
        var path = QemuStreams.Migrate(qemu);
        using var view = ImageReader.Open(path);
        Assert.Empty(view.Origin.Damage);
        Assert.Empty(view.Origin.Remarks);
        var blocks = view.Origin.Blocks.ToDictionary(block => block.Name[(block.Name.LastIndexOf('/') + 1)..]);
        Assert.Equal([Range(0, 256 << 20), Range(1UL << 32, 128 << 20)], blocks["odd"].Ranges);
        Assert.Equal([Range((1UL << 32) + (128 << 20), 128 << 20)], blocks["ram-node1"].Ranges);
        var devices = qemu.Command("query-memory-devices").EnumerateArray().Select(device => device.GetProperty("data")).ToArray();
        foreach (var device in devices)
        {
            var address = (device.TryGetProperty("memaddr", out var there) ? there : device.GetProperty("addr")).GetUInt64();
            var length = device.GetProperty(device.TryGetProperty("max-size", out _) ? "max-size" : "size").GetUInt64();
            Assert.Equal([Range(address, length)], blocks[device.GetProperty("memdev").GetString()!["/objects/".Length..]].Ranges);
        }
        Assert.Equal(3, devices.Length);
        foreach (var address in new ulong[] { 0x1000000, 0x100000000, 0x108000000, 0x140000000, 0x154000000 })
            QemuStreams.AssertMemoryEqual(qemu, view, address, 2 << 20);
        Assert.Equal(PageState.Ballooned, view.Memory.StateOf(new PhysicalAddress(0x144000000 + (255UL << 20))));
        Assert.Empty(blocks["pc.bios"].Ranges);

        static PhysicalRange Range(ulong start, ulong length) => new(new PhysicalAddress(start), length);
    }

    /// <summary>The guest writes while its memory is sent: pages come again, as a whole or as changes, and the last version of each counts.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData("xbzrle")]
    [InlineData("compress")]
    public void Pages_that_come_again_are_read_as_they_came_last(string? capability)
    {
        using var qemu = LongModeMachine.Start(["qemu-system-x86_64"], WriterStub.Image(), Pc);
        qemu.Command("migrate-set-parameters", new Dictionary<string, object?> { ["xbzrle-cache-size"] = 64L << 20 });
        var path = "";
        // On a busy machine the guest may stand still between two rounds, and the migration is done before any page came again.
        var came = false;
        for (var tries = 0; tries < 5 && !came; tries++)
        {
            if (tries != 0)
                qemu.Command("cont");
            path = QemuStreams.Migrate(qemu, capability, bandwidth: 4 << 20, meanwhile: () => came = QemuStreams.StopWhenPagesComeAgain(qemu, capability));
        }
        Assert.SkipUnless(came, "this machine is too busy: the guest never ran between two rounds of the migration");
        using var view = ImageReader.Open(path);
        Assert.Empty(view.Origin.Damage);
        if (capability is not null)
            Assert.Equal(capability == "compress" ? "zlib" : capability, view.Origin.Packing);
        Assert.True(new FileInfo(path).Length > (7 << 20), "nothing came twice");
        // The sender's dirty log under TCG may miss a write; what the stream holds is what another QEMU makes of it.
        using var receiver = QemuStreams.Receive(Pc, path, capability);
        QemuStreams.AssertMemoryEqual(receiver, view, 0x100000, LowSize - 0x100000);
        QemuStreams.AssertMemoryEqual(receiver, view, 1UL << 32, LowSize);
        QemuRegisters.AssertEqual(receiver, view.Cpus);
    }

    /// <summary>The same of QEMU 10, out of the root folder that eng/newer makes.</summary>
    [Theory]
    [InlineData("pc,max-ram-below-4g=32M", null)]
    [InlineData("q35,max-ram-below-4g=32M", "background-snapshot")]
    public void Stream_of_QEMU_10_equals_what_it_says(string machine, string? capability)
    {
        var why = NewerQemu.WhyNot();
        Assert.SkipWhen(why is not null, why ?? "");
        using var qemu = LongModeMachine.Start(NewerQemu.Program, RegisterStub.Image(), machine);
        qemu.Command("stop");
        var path = QemuStreams.Migrate(qemu, capability);
        if (capability is not null)
            qemu.Command("stop");
        using var view = ImageReader.Open(path, new ImageOpenOptions { RawLowSize = machine == Q35 ? LowSize : null });
        Assert.Empty(view.Origin.Damage);
        Assert.StartsWith("pc-", view.Origin.Machine, StringComparison.Ordinal);
        Assert.EndsWith("-10.0", view.Origin.Machine, StringComparison.Ordinal);
        QemuStreams.AssertMemoryEqual(qemu, view, 0x100000, LowSize - 0x100000);
        QemuStreams.AssertMemoryEqual(qemu, view, 1UL << 32, LowSize);
        QemuRegisters.AssertEqual(qemu, view.Cpus);
        QemuRegisters.AssertRestEqual(qemu, view.Cpus);
        AssertStubRegisters(view.Cpus[0]);
    }

    [Fact]
    public void The_32_bit_QEMU_has_registers_too()
    {
        using var qemu = QemuMachine.StartProgram(["qemu-system-i386"], "pc");
        qemu.Command("stop");
        using var view = ImageReader.Open(QemuStreams.Migrate(qemu));
        Assert.Empty(view.Origin.Damage);
        Assert.Null(view.Cpus[0].R8);
        Assert.Null(view.Cpus[0].LStar);
        Assert.NotNull(view.Cpus[0].Xmm);
        QemuRegisters.AssertEqual(qemu, view.Cpus);
        QemuRegisters.AssertRestEqual(qemu, view.Cpus);
        QemuStreams.AssertMemoryEqual(qemu, view, 0x100000, 63 << 20);
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
