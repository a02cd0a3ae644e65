namespace Forengate.Testing.Devices;

/// <summary>A driver for one queue of a virtio PCI device (Virtual I/O Device specification 1.1, 2.6 and 4.1), as little as there can be: one request at a time, and it is waited for.</summary>
public sealed class VirtioDevice
{
    private const ushort ConfigAddress = 0xCF8;
    private const ushort ConfigData = 0xCFC;
    private const uint Vendor = 0x1AF4;
    private const byte VendorCapability = 9;
    private const int BarCount = 6;

    // struct virtio_pci_common_cfg.
    private const int DeviceFeatureSelect = 0x00, DeviceFeature = 0x04, DriverFeatureSelect = 0x08, DriverFeature = 0x0C, DeviceStatus = 0x14, QueueSelect = 0x16, QueueSize = 0x18,
        QueueEnable = 0x1C, QueueNotifyOffset = 0x1E, QueueDescriptors = 0x20, QueueDriver = 0x28, QueueUsed = 0x30;

    private const byte Acknowledge = 1, Driver = 2, DriverOk = 4, FeaturesOk = 8;
    private const ushort Next = 1, Write = 2;

    // Places in the page that the driver has for itself.
    private const ulong Available = 0x100, Used = 0x200, Request = 0x400, Response = 0xC00;
    private const ushort Entries = 8;

    private readonly GuestBus _bus;
    private readonly uint _function;
    private readonly ulong _page;
    private readonly ulong[] _places = new ulong[6];
    private ulong _notify;
    private uint _notifyMultiplier;
    private ushort _sent;

    private VirtioDevice(GuestBus bus, uint function, ulong page) => (_bus, _function, _page) = (bus, function, page);

    /// <summary>Finds the device on bus 0 and brings its first queue up.</summary>
    /// <param name="bus">The guest's machine.</param>
    /// <param name="ids">PCI device ids it may have.</param>
    /// <param name="page">Guest-physical page that nobody else uses.</param>
    /// <param name="window">Where its registers go when no firmware has given them a place.</param>
    public static VirtioDevice Start(GuestBus bus, ReadOnlySpan<uint> ids, ulong page, ulong window = 0xFEA00000)
    {
        for (uint slot = 0; slot < 32; slot++)
        {
            var function = 0x80000000 | slot << 11;
            var id = Config(bus, function, 0);
            if ((id & 0xFFFF) == Vendor && ids.Contains(id >> 16))
            {
                var device = new VirtioDevice(bus, function, page);
                device.Place(window);
                device.Begin();
                return device;
            }
        }
        throw new InvalidOperationException("the machine has no such device");
    }

    public ulong ConfigAt(int offset) => _places[4] + (ulong)offset;

    /// <summary>Hands the device some bytes and waits until it is done with them.</summary>
    /// <returns>The first bytes of its answer.</returns>
    public ulong Send(ReadOnlySpan<ulong> request, int length, bool answered)
    {
        for (var i = 0; i < request.Length; i++)
            _bus.Write64(_page + Request + (ulong)i * 8, request[i]);
        _bus.Write64(_page + Response, ulong.MaxValue);
        Descriptor(0, _page + Request, length, answered ? Next : (ushort)0, 1);
        Descriptor(1, _page + Response, 16, Write, 0);
        _bus.Write16(_page + Available + 4 + (ulong)(_sent % Entries * 2), 0);
        _bus.Write16(_page + Available + 2, ++_sent);
        _bus.Write16(_notify, 0);
        for (var tries = 0; _bus.Read16(_page + Used + 2) != _sent; tries++)
        {
            if (tries > 1000)
                throw new InvalidOperationException("the device does not answer");
            Thread.Sleep(5);
        }
        return _bus.Read64(_page + Response);
    }

    private void Descriptor(ulong index, ulong address, int length, ushort flags, ushort next)
    {
        var at = _page + index * 16;
        _bus.Write64(at, address);
        _bus.Write32(at + 8, (uint)length);
        _bus.Write16(at + 12, flags);
        _bus.Write16(at + 14, next);
    }

    private static uint Config(GuestBus bus, uint function, int offset)
    {
        bus.Out32(ConfigAddress, function | (uint)offset);
        return bus.In32(ConfigData);
    }

    private void SetConfig(int offset, uint value)
    {
        _bus.Out32(ConfigAddress, _function | (uint)offset);
        _bus.Out32(ConfigData, value);
    }

    /// <summary>Gives each memory BAR without an address one, switches the device on, and learns where its structures are.</summary>
    private void Place(ulong window)
    {
        var bars = new ulong[BarCount];
        for (var i = 0; i < BarCount; i++)
        {
            var at = 0x10 + 4 * i;
            var low = Config(_bus, _function, at);
            if ((low & 1) != 0)
                continue;
            var wide = (low & 6) == 4;
            var address = low & ~0xFUL | (wide ? (ulong)Config(_bus, _function, at + 4) << 32 : 0);
            SetConfig(at, uint.MaxValue);
            var size = ~(Config(_bus, _function, at) & ~0xFU) + 1;
            if (size != 0 && address == 0)
            {
                address = window;
                window += Math.Max(size, 0x10000U);
            }
            SetConfig(at, (uint)address);
            if (wide)
                SetConfig(at + 4, (uint)(address >> 32));
            bars[i] = address;
            i += wide ? 1 : 0;
        }
        // Memory space and bus mastering.
        SetConfig(4, Config(_bus, _function, 4) & 0xFFFF | 6);
        for (var at = (int)(Config(_bus, _function, 0x34) & 0xFC); at != 0; at = (int)(Config(_bus, _function, at) >> 8 & 0xFC))
        {
            var first = Config(_bus, _function, at);
            var kind = first >> 24;
            if ((first & 0xFF) != VendorCapability || kind is 0 or >= 6)
                continue;
            var place = bars[Config(_bus, _function, at + 4) & 0xFF] + Config(_bus, _function, at + 8);
            if (kind != 5)
                _places[kind] = place;
            if (kind == 2)
                _notifyMultiplier = Config(_bus, _function, at + 16);
        }
    }

    private void Begin()
    {
        var common = _places[1];
        _bus.Write8(common + DeviceStatus, 0);
        _bus.Write8(common + DeviceStatus, Acknowledge | Driver);
        for (uint half = 0; half < 2; half++)
        {
            _bus.Write32(common + DeviceFeatureSelect, half);
            var offered = _bus.Read32(common + DeviceFeature);
            _bus.Write32(common + DriverFeatureSelect, half);
            // VIRTIO_F_VERSION_1, and what virtio-mem may insist on: VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE.
            _bus.Write32(common + DriverFeature, half == 1 ? offered & 1 : offered & 2);
        }
        _bus.Write8(common + DeviceStatus, Acknowledge | Driver | FeaturesOk);
        for (var offset = 0UL; offset < 0x400; offset += 8)
            _bus.Write64(_page + offset, 0);
        _bus.Write16(common + QueueSelect, 0);
        _bus.Write16(common + QueueSize, Entries);
        _bus.Write64(common + QueueDescriptors, _page);
        _bus.Write64(common + QueueDriver, _page + Available);
        _bus.Write64(common + QueueUsed, _page + Used);
        _notify = _places[2] + (ulong)_bus.Read16(common + QueueNotifyOffset) * _notifyMultiplier;
        _bus.Write16(common + QueueEnable, 1);
        _bus.Write8(common + DeviceStatus, Acknowledge | Driver | FeaturesOk | DriverOk);
    }
}
