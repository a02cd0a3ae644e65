namespace Forengate.Guests.Tests;

public sealed class TargetTests
{
    [Theory]
    [InlineData("libvirt:web", GuestTargetKind.Libvirt, "web")]
    [InlineData("libvirt:a:b", GuestTargetKind.Libvirt, "a:b")]
    [InlineData("qmp:/run/qmp.sock", GuestTargetKind.Qmp, "/run/qmp.sock")]
    public void Live_guests_are_named_by_their_way(string text, GuestTargetKind kind, string name)
    {
        Assert.True(GuestTarget.TryParse(text, out var target));
        Assert.Equal(new GuestTarget(kind, name), target);
        Assert.Equal(text, target.ToString());
    }

    [Theory]
    [InlineData("libvirt:")]
    [InlineData("qmp:")]
    [InlineData("/images/guest.raw")]
    [InlineData("LIBVIRT:web")]
    [InlineData("")]
    public void Anything_else_is_no_live_guest(string text)
    {
        Assert.False(GuestTarget.TryParse(text, out _));
        Assert.Throws<FormatException>(() => GuestTarget.Parse(text));
    }

    [Theory]
    [InlineData("qemu:///system", null)]
    [InlineData("qemu:///session?socket=/run/x", null)]
    [InlineData("qemu+unix:///system", null)]
    [InlineData("qemu+ssh://root@far.example/system", "far.example")]
    [InlineData("qemu://far.example/system", "far.example")]
    [InlineData("qemu+tcp://localhost/system", null)]
    [InlineData("test:///default", null)]
    public void A_URI_says_whether_QEMU_is_here(string uri, string? host) => Assert.Equal(host, LibvirtUri.RemoteHost(uri));

    [Fact]
    public void Near_names_are_few_and_near()
    {
        string[] names = ["windows-10", "windows-11", "windows-server", "debian", "ubuntu", new string('x', 1000)];
        Assert.Equal(["windows-10", "windows-11"], NearNames.Of("windows-1", names).Take(2));
        Assert.Equal(["debian"], NearNames.Of("Debain", names));
        Assert.Empty(NearNames.Of("solaris", names));
        Assert.True(NearNames.Of("w", Enumerable.Range(0, 100).Select(i => $"w{i}")).Count <= 3);
        Assert.Empty(NearNames.Of(new string('x', 999), names));
        Assert.Equal(3, NearNames.Distance("kitten", "sitting"));
    }
}
