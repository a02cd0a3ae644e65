using System.Xml;
using Forengate.Dumps;
using Forengate.Guests;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>What is said of a guest before it crashes.</summary>
public sealed class ReadinessTests
{
    private const ulong Gib = 1UL << 30;

    private const string Bare = "<domain type='kvm'><memory unit='KiB'>4194304</memory><on_crash>destroy</on_crash><devices/></domain>";

    private const string Good = """
        <domain type='kvm'><maxMemory slots='4' unit='KiB'>8388608</maxMemory><memory unit='KiB'>4194304</memory><on_crash>preserve</on_crash><devices>
        <panic model='hyperv'/><watchdog model='i6300esb' action='pause'/>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>
        """;

    private static readonly GuardOptions s_all = new() { Folder = "/" };

    [Fact]
    public void A_guest_that_lacks_everything_is_told_the_lines_to_add()
    {
        var ready = GuardReadiness.Of(CrashSettings.Read(new GuestXml(Bare, "destroy")), s_all, 100 * Gib, 100 * Gib);
        Assert.False(ready.IsReady);
        Assert.Equal("nothing is heard of its crashes and hangs", ready.Text);
        Assert.Contains(ready.Lines, line => line.Contains("<panic model='hyperv'/>", StringComparison.Ordinal));
        Assert.Contains(ready.Lines, line => line.Contains("<watchdog model='i6300esb' action='pause'/>", StringComparison.Ordinal));
        Assert.Contains(ready.Lines, line => line.Contains("org.qemu.guest_agent.0", StringComparison.Ordinal));
    }

    [Fact]
    public void A_guest_that_has_all_is_ready_and_its_own_action_is_told()
    {
        var settings = CrashSettings.Read(new GuestXml(Good, "coredump-restart"));
        Assert.Equal(8 * Gib, settings.Memory);
        Assert.Equal("coredump-restart", settings.OnCrash);
        var ready = GuardReadiness.Of(settings, s_all, 100 * Gib, 100 * Gib);
        Assert.True(ready.IsReady);
        Assert.Equal("a crash, a watchdog that runs out, a guest agent silent for 1m is dumped as full", ready.Text);
        Assert.Contains(ready.Lines, line => line.Contains("libvirt's own core", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(7, 100, GuardTriggers.All, DumpKind.Full, "smaller kind")]
    [InlineData(100, 7, GuardTriggers.All, DumpKind.Full, "host memory")]
    [InlineData(100, 7, GuardTriggers.Panic, DumpKind.Full, null)]
    [InlineData(7, 100, GuardTriggers.All, DumpKind.Kernel, null)]
    public void Too_little_room_or_memory_is_said_before(ulong room, ulong memory, GuardTriggers triggers, DumpKind kind, string? said)
    {
        var ready = GuardReadiness.Of(CrashSettings.Read(new GuestXml(Good, "preserve")), s_all with { Triggers = triggers, Kind = kind }, room * Gib, memory * Gib);
        Assert.Equal(said is null, ready.IsReady);
        if (said is not null)
            Assert.Contains(ready.Lines, line => line.Contains(said, StringComparison.Ordinal));
    }

    [Fact]
    public void A_watchdog_that_resets_is_named_and_what_is_not_asked_for_is_not()
    {
        var settings = CrashSettings.Read(new GuestXml(Good.Replace("pause", "reset", StringComparison.Ordinal), "preserve"));
        Assert.Contains(GuardReadiness.Of(settings, s_all, 100 * Gib, null).Lines, line => line.Contains("action 'reset'", StringComparison.Ordinal));
        Assert.True(GuardReadiness.Of(settings, s_all with { Triggers = GuardTriggers.Panic }, 100 * Gib, null).IsReady);
    }

    [Theory]
    [InlineData("")]
    [InlineData("<domain")]
    [InlineData("<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><domain>&b;</domain>")]
    public void What_is_no_definition_is_refused(string xml) => Assert.Throws<XmlException>(() => CrashSettings.Read(new GuestXml(xml, "destroy")));
}
