using System.Net.Sockets;
using System.Text;

namespace Forengate.Guests.Tests;

/// <summary>Who stopped the guest may die in the middle of a command: the watchdog takes up the same connection as it finds it.</summary>
public sealed class QmpRescueTests
{
    [Theory]
    [InlineData("")]
    [InlineData("{\"execute\":\"query-status\",\"id\":7}\n")]
    [InlineData("{\"execute\":\"query-sta")]
    [InlineData("{\"execute\":\"query-status\"")]
    [InlineData("{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info mtree -f\"}}\n{\"execute\":\"query-status\",\"arguments\":{\"x\":[[[")]
    [InlineData("{\"execute\":\"query-status\",\"id\":\"a \\")]
    public void A_stopped_guest_is_continued_after_a_half_sent_command(string half)
    {
        using var qemu = new TestQemu("-m", "32");
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(qemu.Socket));
        Send(socket, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"stop\"}\n");
        TestQemu.WaitFor(() => !qemu.IsRunning, "the stop");
        Send(socket, half);
        using var rescue = new QmpRescue(new Descriptor(Duplicate(socket)));
        Assert.Null(rescue.Continue(hungParent: 0));
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void A_QEMU_that_is_gone_needs_no_rescue()
    {
        using var qemu = new TestQemu("-m", "32");
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(qemu.Socket));
        Send(socket, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"stop\"}\n");
        qemu.Kill();
        using var rescue = new QmpRescue(new Descriptor(Duplicate(socket)));
        Assert.Null(rescue.Continue(hungParent: 0));
    }

    private static void Send(Socket socket, string text) => socket.Send(Encoding.ASCII.GetBytes(text));

    private static int Duplicate(Socket socket) => TestDescriptors.Duplicate((int)socket.Handle);
}
