namespace Forengate.Testing.Devices;

/// <summary>Plays the guest's driver of a virtio-mem device (specification 1.2, 5.15): takes blocks of memory and gives them back.</summary>
public sealed class VirtioMem
{
    private const int BlockSizeAt = 0, AddressAt = 16, UsableSizeAt = 32, PluggedSizeAt = 40, RequestedSizeAt = 48;
    private const ulong Plug = 0, Unplug = 1;
    private const int RequestBytes = 24;

    private readonly GuestBus _bus;
    private readonly VirtioDevice _device;

    /// <param name="bus">The guest's machine.</param>
    /// <param name="page">Guest-physical page that nobody else uses.</param>
    public VirtioMem(GuestBus bus, ulong page)
    {
        _bus = bus;
        _device = VirtioDevice.Start(bus, [0x1058], page);
    }

    /// <summary>Bytes of a block.</summary>
    public ulong BlockSize => _bus.Read64(_device.ConfigAt(BlockSizeAt));

    /// <summary>Guest-physical address of block 0.</summary>
    public ulong Address => _bus.Read64(_device.ConfigAt(AddressAt));

    public ulong UsableSize => _bus.Read64(_device.ConfigAt(UsableSizeAt));

    public ulong PluggedSize => _bus.Read64(_device.ConfigAt(PluggedSizeAt));

    public ulong RequestedSize => _bus.Read64(_device.ConfigAt(RequestedSizeAt));

    /// <returns>0 done, 1 refused, 2 not now, 3 error.</returns>
    public int Take(int block, int count = 1) => Ask(Plug, block, count);

    /// <returns>0 done, 1 refused, 2 not now, 3 error.</returns>
    public int Give(int block, int count = 1) => Ask(Unplug, block, count);

    private int Ask(ulong kind, int block, int count) => (ushort)_device.Send([kind, Address + (ulong)block * BlockSize, (ulong)count], RequestBytes, answered: true);
}
