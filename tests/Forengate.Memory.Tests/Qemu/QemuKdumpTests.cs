namespace Forengate.Memory.Tests.Qemu;

/// <summary>Kdumps made by real QEMU, which writes the flattened form, held against the ELF core that the same QEMU writes of the same stopped guest.</summary>
public sealed class QemuKdumpTests
{
    [Fact]
    public void Kdump_of_a_stopped_guest_equals_its_core()
    {
        using var qemu = QemuElfCoreTests.StartLongMode();
        using var core = ImageReader.Open(qemu.Dump(paging: false));
        using var view = ImageReader.Open(Dump(qemu));
        Assert.Equal("kdump-compressed (version 6, flattened)", view.Origin.Format);
        Assert.Equal(("QEMU", "zlib"), (view.Origin.Producer, view.Origin.Packing));
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(core.Memory.Ranges, view.Memory.Ranges);
        Assert.Equal(core.Cpus.Select(cpu => cpu with { Source = null }), view.Cpus.Select(cpu => cpu with { Source = null }));
        MemoryEquality.Assert(core.Memory, view.Memory);
        // The guest's memory is mostly zeros, and the file says so.
        Assert.Equal(PageState.Zero, view.Memory.StateOf(new PhysicalAddress(0x20_0000)));
        Assert.Equal(PageState.Present, view.Memory.StateOf(new PhysicalAddress(LongModeStub.Pml4)));
        // Noise does not pack: it lies plain in the file.
        Assert.False(view.Memory.Map(new PhysicalAddress(0x60_0000), Page.Size).IsEmpty);
    }

    [Fact]
    public void A_kdump_cut_short_is_read_as_far_as_it_goes()
    {
        using var qemu = QemuElfCoreTests.StartLongMode();
        using var core = ImageReader.Open(qemu.Dump(paging: false));
        var path = Dump(qemu);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write))
            stream.SetLength(stream.Length / 2);
        using var view = ImageReader.Open(path);
        Assert.Equal(core.Memory.Ranges, view.Memory.Ranges);
        Assert.Equal(2, view.Cpus.Count);
        Assert.Equal(2, view.Origin.Damage.Count);
        Assert.Contains("cut off", view.Origin.Damage[0], StringComparison.Ordinal);
        Assert.Contains("-0x102000000", view.Origin.Damage[1], StringComparison.Ordinal);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(LongModeStub.AboveFourGiB + 0x20_0000)));
        var (ours, theirs) = (new byte[1 << 20], new byte[1 << 20]);
        Assert.Equal(ours.Length, view.Memory.Read(new PhysicalAddress(0x60_0000), ours));
        Assert.Equal(ours.Length, core.Memory.Read(new PhysicalAddress(0x60_0000), theirs));
        Assert.Equal(theirs, ours);
    }

    internal static string Dump(QemuMachine qemu)
    {
        var path = Path.Combine(qemu.Folder, "kdump");
        qemu.Command("dump-guest-memory", new Dictionary<string, object?> { ["paging"] = false, ["protocol"] = $"file:{path}", ["format"] = "kdump-zlib" });
        return path;
    }
}
