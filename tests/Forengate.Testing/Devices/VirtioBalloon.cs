namespace Forengate.Testing.Devices;

/// <summary>Plays the guest's driver of a balloon (specification 1.1, 5.5): gives pages to the host.</summary>
public sealed class VirtioBalloon
{
    private const int ActualAt = 4;

    private readonly GuestBus _bus;
    private readonly VirtioDevice _device;

    /// <param name="bus">The guest's machine.</param>
    /// <param name="page">Guest-physical page that nobody else uses.</param>
    public VirtioBalloon(GuestBus bus, ulong page)
    {
        _bus = bus;
        _device = VirtioDevice.Start(bus, [0x1002, 0x1045], page);
    }

    /// <summary>Gives pages away, and says so.</summary>
    /// <param name="frame">Number of the first.</param>
    /// <param name="count">How many.</param>
    public void Inflate(uint frame, int count)
    {
        const int AtOnce = 256;
        var given = 0;
        while (given < count)
        {
            var part = Math.Min(AtOnce, count - given);
            var request = new ulong[(part + 1) / 2];
            for (var i = 0; i < part; i++)
                request[i / 2] |= (ulong)(frame + (uint)(given + i)) << (i % 2 * 32);
            _device.Send(request, part * 4, answered: false);
            given += part;
        }
        _bus.Write32(_device.ConfigAt(ActualAt), _bus.Read32(_device.ConfigAt(ActualAt)) + (uint)count);
    }
}
