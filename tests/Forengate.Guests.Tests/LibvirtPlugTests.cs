using Forengate.Memory;
using Forengate.Testing.Devices;

namespace Forengate.Guests.Tests;

/// <summary>Memory modules that libvirt attaches to a running guest, and takes from it again.</summary>
public sealed class LibvirtPlugTests(SnapshotLibvirt libvirt) : IClassFixture<SnapshotLibvirt>
{
    private const ulong MiB = 1 << 20;

    [Fact]
    public void A_module_is_attached_and_detached_between_captures()
    {
        const string Name = "plugged";
        var socket = Path.Combine(libvirt.Folder, "run", "bus");
        var target = libvirt.Start(
            Name,
            $"""
            <maxMemory slots='4' unit='MiB'>2048</maxMemory>
            <cpu><numa><cell id='0' cpus='0-1' memory='96' unit='MiB'/></numa></cpu>
            <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
              {string.Concat(GuestBus.Arguments(socket).Select(argument => $"<qemu:arg value='{argument}'/>"))}
            </qemu:commandline>
            """);
        var module = Path.Combine(libvirt.Folder, "module.xml");
        File.WriteAllText(module, "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>");
        Check(target, []);

        libvirt.Virsh("attach-device", Name, module, "--live");
        using var bus = new GuestBus(socket);
        bus.Write64(0x1_0000_0000, 0x6E657665736E6565);
        Check(target, [new PhysicalRange(new PhysicalAddress(0x1_0000_0000), 128 * MiB)]);

        var detach = Task.Run(() => libvirt.Virsh("detach-device-alias", Name, "dimm0", "--live"), TestContext.Current.CancellationToken);
        TestQemu.WaitFor(() => MemorySlots.IsAskedBack(bus, 0), "the guest to be asked for the module");
        MemorySlots.Give(bus, 0);
        TestQemu.WaitFor(() => detach.IsCompleted && !libvirt.Virsh("dumpxml", Name).Contains("model='dimm'", StringComparison.Ordinal), "libvirt to know");
        Check(target, []);
        Assert.Equal("running", libvirt.State(Name));
    }

    private void Check(GuestTarget target, IReadOnlyList<PhysicalRange> modules)
    {
        foreach (var mode in (CaptureMode[])[CaptureMode.Snapshot, CaptureMode.StopAndCopy])
        {
            using var view = LiveCapture.Take(target, libvirt.Options(mode), null, TestContext.Current.CancellationToken);
            Assert.Equal(modules, PlugTests.High(view.Memory));
            Assert.Empty(view.Origin.Damage);
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            foreach (var range in modules)
            {
                Assert.True(view.Memory.TryRead(range.Start, out ulong value));
                Assert.Equal(0x6E657665736E6565UL, value);
            }
        }
    }
}
