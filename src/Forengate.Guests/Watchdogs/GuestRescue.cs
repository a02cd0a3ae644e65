using System.Text.Json;

namespace Forengate.Guests;

/// <summary>The watchdog's way to a guest, opened before the guest is stopped.</summary>
internal abstract class GuestRescue : IDisposable
{
    protected const int None = -1;

    public static GuestRescue Prepare(GuestTarget target, string? uri) => target.Kind == GuestTargetKind.Libvirt
        ? LibvirtRescue.Open(LibvirtUri.Resolve(uri), target.Name)
        : new QmpRescue(new Descriptor(WatchdogMessages.MonitorDescriptor));

    /// <summary>Continues the guest; tries until it succeeds, the guest is gone, or half a minute is over.</summary>
    /// <param name="hungParent">Forengate's process when it lives but hangs; 0 otherwise.</param>
    /// <returns>Null, or why it failed.</returns>
    public abstract string? Continue(int hungParent);

    /// <summary>Runs a QMP command; tries until it is answered, the guest is gone, or half a minute is over.</summary>
    /// <exception cref="QmpRefusedException">QEMU refused it.</exception>
    /// <exception cref="GuestException"><see cref="GuestFailure.Vanished"/>: QEMU has ended; else: it did not answer.</exception>
    public JsonElement Ask(string command, Action<Utf8JsonWriter>? arguments) => Ask(command, arguments, None);

    /// <summary>Hands QEMU a descriptor, which it knows by a name from then on; tries like <see cref="Ask(string, Action{Utf8JsonWriter})"/>.</summary>
    public void PassDescriptor(string name, int descriptor) => Ask("getfd", writer => writer.WriteString("fdname", name), descriptor);

    /// <param name="command">Which.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="descriptor">Passed along; <see cref="None"/> for none.</param>
    protected abstract JsonElement Ask(string command, Action<Utf8JsonWriter>? arguments, int descriptor);

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected abstract void Dispose(bool disposing);
}
