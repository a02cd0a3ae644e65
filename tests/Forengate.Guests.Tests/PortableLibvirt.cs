using System.Net;
using System.Net.Sockets;

namespace Forengate.Guests.Tests;

/// <summary>A daemon that is reached over TCP too, at an address of loopback that is another host to us.</summary>
public sealed class PortableLibvirt : TestLibvirt
{
    private PortableLibvirt(int port)
        : base(maySnapshot: false, port) => TcpUri = $"qemu+tcp://127.0.0.2:{port}/session";

    public PortableLibvirt()
        : this(FreePort())
    {
    }

    public string TcpUri { get; }

    public CaptureOptions Options(CaptureMode mode, CaptureMeans means) => TestQemu.Options(mode) with { ConnectUri = TcpUri, Means = means };

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Parse("127.0.0.2"), 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public void AssertRuns(GuestTarget target)
    {
        Assert.Equal("running", State(target.Name));
        var before = Counter(target);
        TestQemu.WaitFor(() => Counter(target) > before, "the guest to run on");
    }

    /// <summary>libvirt's mark of a domain whose monitor was asked.</summary>
    public bool IsTainted(string name) => Virsh("dominfo", name).Contains("custom monitor", StringComparison.Ordinal);
}
