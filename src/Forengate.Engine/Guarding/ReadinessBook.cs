using System.Collections.Concurrent;
using System.Xml;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>Makes the journal's lines that say what will happen when a guest crashes.</summary>
internal sealed class ReadinessBook(GuardOptions options, DumpRoom room, TimeProvider clock)
{
    private readonly ConcurrentDictionary<GuestTarget, GuardEvent?> _written = new();

    /// <summary>Looks at the guests that are there before their settings are changed for guarding.</summary>
    /// <returns>Their lines.</returns>
    public IReadOnlyList<GuardEvent> Prepare(CancellationToken ct)
    {
        foreach (var monitor in options.Monitors)
        {
            var target = new GuestTarget(GuestTargetKind.Qmp, monitor.Socket);
            _written[target] = Line(target, () => MonitorSettings.Read(monitor, ct));
        }
        var asksLibvirt = options.Guests.Count > 0 || options.Monitors.Count == 0;
        foreach (var guest in asksLibvirt ? GuestList.Of(options.Target.ConnectUri, ct) : [])
        {
            if (guest.Id is not null && (options.Guests.Count == 0 || options.Guests.Contains(guest.Name) || options.Guests.Contains(guest.Uuid.ToString(), StringComparer.OrdinalIgnoreCase)))
            {
                var target = GuestTarget.Parse(guest.Target);
                _written[target] = Line(target, () => Read(target, ct));
            }
        }
        return [.. _written.Values.OfType<GuardEvent>().OrderBy(line => line.Guest, StringComparer.Ordinal)];
    }

    /// <summary>The line of a guest: the one that was prepared, the first time, else made anew. Null where nothing can be told.</summary>
    public GuardEvent? LineOf(GuestTarget guest)
    {
        if (_written.TryRemove(guest, out var line))
            return line;
        return guest.Kind == GuestTargetKind.Libvirt ? Line(guest, () => Read(guest, CancellationToken.None)) : null;
    }

    private CrashSettings? Read(GuestTarget guest, CancellationToken ct) => GuestXml.Of(options.Target.ConnectUri, guest.Name, ct) is { } xml ? CrashSettings.Read(xml) : null;

    private GuardEvent? Line(GuestTarget guest, Func<CrashSettings?> read)
    {
        try
        {
            if (read() is not { } settings)
                return null;
            var ready = GuardReadiness.Of(settings, options, room.Left, HostMemory.Available());
            return new GuardEvent { Kind = GuardEventKind.Ready, At = clock.GetUtcNow(), Guest = guest.ToString(), Text = ready.Text, Complete = ready.IsReady, Lines = ready.Lines };
        }
        catch (Exception e) when (e is IOException or XmlException)
        {
            return new GuardEvent
            {
                Kind = GuardEventKind.Ready, At = clock.GetUtcNow(), Guest = guest.ToString(), Complete = false,
                Text = $"what will happen when it crashes could not be looked up: {e.Message}",
            };
        }
    }
}
