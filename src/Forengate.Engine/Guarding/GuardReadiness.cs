using Forengate.Dumps;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>What will happen when a guest crashes or hangs, said before it does, with what it lacks.</summary>
/// <param name="Text">The gist, one line.</param>
/// <param name="Lines">What is there, what is not, and the XML that would mend it.</param>
/// <param name="IsReady">True when all that is asked for can be heard and dumped.</param>
internal sealed record GuardReadiness(string Text, IReadOnlyList<string> Lines, bool IsReady)
{
    private const string Isa = "isa", HyperV = "hyperv", Preserve = "preserve";

    /// <summary>What a watchdog may do so that there is something left to dump.</summary>
    private static readonly string[] s_patient = ["pause", "none", "inject-nmi", "debug"];

    /// <param name="settings">The guest's.</param>
    /// <param name="options">The guard's.</param>
    /// <param name="room">Bytes that dumps may take now.</param>
    /// <param name="hostMemory">Free memory of the host in bytes; null where it can't be told.</param>
    public static GuardReadiness Of(CrashSettings settings, GuardOptions options, ulong room, ulong? hostMemory)
    {
        var (heard, lines, lacking) = (new List<string>(), new List<string>(), 0);
        void Lacks(string line)
        {
            lines.Add(line);
            lacking++;
        }
        if (options.Triggers.HasFlag(GuardTriggers.Panic))
        {
            if (settings.PanicDevices.Count > 0)
                heard.Add("a crash");
            else
                Lacks($"no panic device: nobody hears of its crash; add {PanicAdvice(settings)}");
            if (settings.PanicDevices.Count > 0 && !settings.PanicDevices.Contains(HyperV))
                lines.Add($"panic device {string.Join(", ", settings.PanicDevices)}: needs its driver in the guest, and tells no stop code (Windows' memory does)");
            else if (settings.PanicDevices.Count > 0)
                lines.Add($"panic device {string.Join(", ", settings.PanicDevices)}: Windows tells its stop code by Hyper-V's crash registers, without a driver");
        }
        if (options.Triggers.HasFlag(GuardTriggers.Watchdog))
        {
            if (settings.Watchdogs.Any(dog => dog.Action is null || s_patient.Contains(dog.Action)))
                heard.Add("a watchdog that runs out");
            else if (settings.Watchdogs.Count == 0)
                Lacks($"no watchdog device; add {(settings.IsLibvirt ? "<watchdog model='i6300esb' action='pause'/>" : "-device i6300esb -action watchdog=pause")} (and its driver in the guest)");
            foreach (var (model, action) in settings.Watchdogs.Where(dog => dog.Action is { } set && !s_patient.Contains(set)))
                Lacks($"watchdog {model} has action '{action}', after which there is nothing left to dump; make it <watchdog model='{model}' action='pause'/>");
        }
        if (options.Triggers.HasFlag(GuardTriggers.Silence))
        {
            if (settings.HasAgentChannel)
                heard.Add($"a guest agent silent for {GuardWords.Of(options.SilentFor)}");
            else
                Lacks($"no channel to the guest agent; {(settings.IsLibvirt ? "add <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>" : "name its socket with --agent-socket")}");
        }
        var afterwards = OnCrash(settings);
        if (heard.Count > 0 && options.Triggers.HasFlag(GuardTriggers.Panic))
            lines.Add(afterwards);
        lacking += Room(settings, options, room, hostMemory, lines);
        var text = heard.Count == 0 ? "nothing is heard of its crashes and hangs" : $"{string.Join(", ", heard)} is dumped as {options.Kind.ToString().ToLowerInvariant()}";
        return new GuardReadiness(text, lines, lacking == 0);
    }

    /// <summary>An action as XML has it.</summary>
    public static string NameOf(CrashAction action) => action switch
    {
        CrashAction.Destroy => "destroy",
        CrashAction.Restart => "restart",
        CrashAction.RenameRestart => "rename-restart",
        CrashAction.CoredumpDestroy => "coredump-destroy",
        CrashAction.CoredumpRestart => "coredump-restart",
        _ => Preserve,
    };

    public static string Mib(ulong bytes) => $"{bytes >> 20} MiB";

    private static string PanicAdvice(CrashSettings settings) => !settings.IsLibvirt ? "-device pvpanic, or the CPU flag hv-crash under KVM"
        : settings.IsKvm == true ? $"<panic model='{HyperV}'/> (tells the stop code, no driver needed) or <panic model='{Isa}'/>"
        : $"<panic model='{Isa}'/>";

    private static string OnCrash(CrashSettings settings) => settings.OnCrash switch
    {
        null => "what QEMU does after a panic is not known; it is held until the dump is written",
        Preserve or "pause" => $"after the dump it is left as it is ({settings.OnCrash})",
        "coredump-destroy" or "coredump-restart" => $"{settings.OnCrash} is held until the dump is written; libvirt's own core is written only when ours fails",
        var other => $"{other} is held until the dump is written, then done",
    };

    private static int Room(CrashSettings settings, GuardOptions options, ulong room, ulong? hostMemory, List<string> lines)
    {
        if (settings.Memory is not { } memory)
            return 0;
        var lacking = 0;
        if (options.Kind is DumpKind.Full or DumpKind.Bitmap or DumpKind.Active && room < memory)
        {
            lines.Add($"{Mib(room)} may be written now, its memory is {Mib(memory)}: a smaller kind of dump will be written, or none");
            lacking++;
        }
        if (options.Triggers != GuardTriggers.Panic && hostMemory is { } free && free < memory)
        {
            lines.Add($"{Mib(free)} of host memory are free, its memory is {Mib(memory)}: while it runs it may not be dumped (a crashed guest stands still, and can be)");
            lacking++;
        }
        return lacking;
    }
}
