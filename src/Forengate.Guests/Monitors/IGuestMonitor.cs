using System.Text.Json;

namespace Forengate.Guests;

/// <summary>A way to QEMU's monitor: a QMP socket of our own or libvirt's. Safe for use from several threads; commands go one after the other.</summary>
/// <remarks>Every command ends: with an answer, with a <see cref="GuestException"/>, or by time-out (<see cref="GuestFailure.MonitorFailed"/>).</remarks>
public interface IGuestMonitor : IDisposable
{
    /// <summary>For people: which monitor this is.</summary>
    string Name { get; }

    /// <summary>Facts about this way that belong on the record (a tainted domain).</summary>
    IReadOnlyList<string> Remarks { get; }

    /// <summary>Runs a QMP command and gives what stands under "return".</summary>
    /// <param name="command">Name of the command.</param>
    /// <param name="arguments">Writes the members of "arguments"; null for none.</param>
    /// <param name="ct">Ends the waiting, not the command.</param>
    JsonElement Qmp(string command, Action<Utf8JsonWriter>? arguments, CancellationToken ct);

    /// <summary>Runs a line of the human monitor and gives its text.</summary>
    string Human(string commandLine, CancellationToken ct);

    /// <summary>Gives QEMU a copy of a descriptor of ours, which commands then know by a name ("fd:NAME"; QMP getfd).</summary>
    /// <exception cref="QmpRefusedException">QEMU, or libvirt, does not take it.</exception>
    void PassDescriptor(string name, int descriptor, CancellationToken ct);

    /// <summary>Gives QEMU a copy of a descriptor of ours, which it then opens as a file by the name <c>/dev/fdset/NUMBER</c> (QMP add-fd), until it is removed.</summary>
    /// <param name="note">Stands beside it in <c>query-fdsets</c>.</param>
    /// <param name="descriptor">Ours.</param>
    /// <param name="ct">Ends the waiting.</param>
    /// <returns>The number.</returns>
    /// <exception cref="QmpRefusedException">QEMU, or libvirt, does not take it.</exception>
    long AddDescriptor(string note, int descriptor, CancellationToken ct);

    RunState QueryState(CancellationToken ct);

    /// <summary>Stops the vCPUs; returns when they stand.</summary>
    void Stop(CancellationToken ct);

    /// <summary>Lets the vCPUs run again; returns when QEMU has acknowledged it. Not to be cancelled: a stopped guest must run.</summary>
    void Continue();

    /// <summary>The notes of an ELF core of the stopped guest (an ELF file that may break off behind its notes), or null with the reason where this monitor can't give them.</summary>
    byte[]? ReadCpuNotes(CancellationToken ct, out string? reason);

    /// <summary>How long the guest stood still by QEMU's own STOP and RESUME events, where they were seen.</summary>
    TimeSpan? LastStopByEvents { get; }
}
