using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A QEMU of this host that no domain of a libvirt stands for.</summary>
/// <param name="Guest">What its command line says, and its state where its monitor could be asked.</param>
/// <param name="Access">What we may do with it.</param>
/// <param name="QemuVersion">As its monitor greets; null where it was not asked.</param>
/// <param name="IsStarted">False where it waits for its monitor's first client, and nothing of a guest is there yet.</param>
public sealed record ProcessGuest(GuestInfo Guest, GuestAccess Access, Version? QemuVersion, bool IsStarted)
{
    /// <summary>The same guest without its monitor.</summary>
    public ProcessTarget Process => new(Access.ProcessId!.Value);

    /// <summary>True where <see cref="GuestInfo.Target"/> is its monitor, and it answers.</summary>
    public bool IsAsked => Guest.State != GuestState.Unknown;

    /// <summary>True where a libvirt started it, which is not the one whose domains are known.</summary>
    public bool IsOfLibvirt { get; init; }

    /// <summary>How a dump of its target would take its memory; null where a right is lacking.</summary>
    public CapturePlan? Plan() => ProcessTarget.TryParse(Guest.Target, out _) ? ExpectedPlan.OfProcess(this) : ExpectedPlan.Of(Guest, Access, QemuVersion);
}

/// <summary>
/// The QEMU processes of this host (qemu-system-*) beside those of libvirt's domains, by their command lines, which everybody may read. A monitor is asked for no more than the guest's state, and only where nobody has it: it serves one
/// client, and another would have to wait for us.
/// </summary>
public static class ProcessGuests
{
    /// <summary>A QEMU that is well answers in milliseconds.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    /// <summary>A QEMU that has begun has these and a thread for each CPU: its main thread, and the one of RCU.</summary>
    private const int ThreadsWithoutGuest = 2;

    /// <param name="domains">UUIDs of the domains that are known otherwise.</param>
    /// <param name="ct">Ends the asking.</param>
    /// <returns>By name, then by number.</returns>
    public static IReadOnlyList<ProcessGuest> Of(IReadOnlyCollection<Guid> domains, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(domains);
        var guests = new List<ProcessGuest>();
        foreach (var id in QemuProcess.Machines())
        {
            ct.ThrowIfCancellationRequested();
            if (At(id, domains, ct) is { } guest)
                guests.Add(guest);
        }
        return [.. guests.OrderBy(guest => guest.Guest.Name, StringComparer.Ordinal).ThenBy(guest => guest.Access.ProcessId)];
    }

    /// <summary>Null where it has ended, or is a known domain's.</summary>
    internal static ProcessGuest? At(int id, IReadOnlyCollection<Guid> domains, CancellationToken ct)
    {
        var words = QemuProcess.ArgumentsOf(id);
        // A process that has ended and was not collected has none.
        if (words.Length == 0 || words[0].Length == 0)
            return null;
        var arguments = QemuArguments.Parse(words);
        if (arguments.Uuid is { } uuid && domains.Contains(uuid))
            return null;
        var target = new ProcessTarget(id).ToString();
        var info = new GuestInfo
        {
            Name = arguments.GuestName ?? target,
            Uuid = arguments.Uuid ?? Guid.Empty,
            State = GuestState.Unknown,
            Memory = arguments.RamSize + arguments.PluggedRam,
            MaxMemory = arguments.MostRam,
            VirtualCpus = arguments.Cpus,
            Id = null,
            MemoryFacts = Facts(arguments),
            Target = target,
        };
        var access = new GuestAccess(id, null, GuestAccess.NeedsOfProcess(id));
        var started = QemuProcess.ThreadsOf(id) > ThreadsWithoutGuest;
        var sockets = UnixSockets.Read();
        var plain = new ProcessGuest(info, access, null, started) { IsOfLibvirt = arguments.IsOfLibvirt };
        ProcessGuest? best = null;
        foreach (var socket in arguments.MonitorSockets)
        {
            if (QemuProcess.PathOf(id, socket.Path) is not { } path || !sockets.IsListening(path) || Ask(plain, path, socket.Waits, sockets, ct) is not { } asked)
                continue;
            if (asked.Access.MonitorNeeds is null)
                return asked;
            best ??= asked;
        }
        return best ?? plain;
    }

    /// <summary>The guest by one of its monitors; null where another process listens there.</summary>
    private static ProcessGuest? Ask(ProcessGuest guest, string path, bool waits, UnixSockets sockets, CancellationToken ct)
    {
        var id = guest.Process;
        var named = guest with { Guest = guest.Guest with { Target = new GuestTarget(GuestTargetKind.Qmp, path).ToString() } };
        if (sockets.IsInUse(path))
            return Lacking($"the program that has its monitor to end (its monitor is in use: {path}), or {id} as the target, which does without");
        if (waits && !guest.IsStarted)
            return Lacking($"its monitor's first client ({path}): it does not begin before");
        try
        {
            using var connection = QmpConnection.Open(path, s_patience, s_patience, ct);
            if (connection.PeerProcess != id.Id)
                return null;
            var state = MonitorCommands.ParseState(connection.Execute("query-status", null, s_patience, ct));
            return named with { Guest = named.Guest with { State = StateOf(state) }, QemuVersion = Version.TryParse(connection.QemuVersion, out var version) ? version : null };
        }
        catch (GuestException e) when (e.Failure == GuestFailure.NoRights)
        {
            return Lacking($"write access to its monitor {path} (QEMU's user has it, and root)");
        }
        catch (Exception e) when (e is GuestException or QmpRefusedException)
        {
            return Lacking(string.Create(CultureInfo.InvariantCulture, $"its monitor to answer ({path} did not within {s_patience.TotalSeconds:0} s: QEMU hangs, or its monitor is in use), or {id} as the target, which does without"));
        }

        ProcessGuest Lacking(string needs) => named with { Access = named.Access with { MonitorNeeds = needs } };
    }

    /// <summary>qapi/run-state.json, RunState.</summary>
    private static GuestState StateOf(in RunState state) => state switch
    {
        { Running: true } => GuestState.Running,
        { Status: "shutdown" } => GuestState.ShuttingDown,
        { HasCrashed: true } => GuestState.Crashed,
        { Status: "suspended" } => GuestState.Suspended,
        _ => GuestState.Paused,
    };

    private static GuestMemoryFacts Facts(QemuArguments arguments)
    {
        var main = arguments.MainRam();
        var path = main[0].Path ?? (main[0].Kind is null ? arguments.MemoryPath : null);
        var huge = main.Any(static backend => backend.HugePages) || path?.Contains("hugepages", StringComparison.Ordinal) == true;
        return new GuestMemoryFacts
        {
            Total = arguments.RamSize + arguments.PluggedRam,
            Maximum = arguments.MostRam,
            Plugged = arguments.PluggedRam,
            Backend = huge ? "hugepages" : path is not null ? "file" : main[0].Kind is "memfd" ? "memfd" : GuestMemoryFacts.Anonymous,
            NumaNodes = arguments.NumaNodes,
        };
    }
}
