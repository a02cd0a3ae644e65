using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Forengate.Dumps;
using Forengate.Engine;
using Forengate.Guests;

namespace Forengate.Cli.Commands;

/// <summary>The options of <c>guard</c>, and what they say together.</summary>
internal sealed class GuardSettings
{
    private const int MostParallel = 64, MostKept = 1_000_000;

    private static readonly TimeSpan s_leastSilence = TimeSpan.FromSeconds(10), s_mostSilence = TimeSpan.FromHours(1);

    private readonly Argument<string[]> _guests = new("GUEST")
    {
        Description = "Names or UUIDs of libvirt's guests, or qmp:SOCKET; none: all of libvirt's, those that come later too",
        Arity = ArgumentArity.ZeroOrMore,
    };

    /// <summary>A rate or none: what the command line's library takes for no value must not be a value.</summary>
    private sealed record Limit(DumpRate? Rate)
    {
        public static readonly Limit None = new((DumpRate?)null);

        public override string ToString() => Rate?.ToString() ?? "none";
    }

    private readonly Option<string> _to = new("--to") { Description = "The folder for the dumps, which holds guests' secrets", HelpName = "FOLDER", Required = true };

    private readonly Option<DumpKind> _kind = Shared.Choice<DumpKind>("--type", "Kind of dump, as in 'dump'; kernel, then small, where there is no room for it");

    private readonly Option<GuardTriggers> _on = Of("--on", "panic,watchdog,silence", "What to dump for", GuardTriggers.All, Triggers, "some of panic, watchdog, silence, with commas between");

    private readonly Option<TimeSpan> _silentFor = Of(
        "--silent-for", "TIME", "How long a guest agent that had answered must not", new GuardOptions { Folder = "" }.SilentFor,
        text => GuardWords.TryTime(text, out var time) && time >= s_leastSilence && time <= s_mostSilence ? time : null, "a time from 10s to 1h");

    private readonly Option<string?> _agent = new("--agent-socket") { Description = "The socket of the guest agent's channel, for one qmp:SOCKET", HelpName = "SOCKET" };

    private readonly Option<int?> _keep = OfNullable<int>("--keep", "N", "Keep at most so many dumps of a guest: the oldest of ours go (default: all stay)", text => Number(text, MostKept), "a number from 1");

    private readonly Option<ulong?> _keepBytes = OfNullable<ulong>("--keep-bytes", "SIZE", "Keep at most so much of a guest's dumps; the newest stays", Size, "a size (20G, 500M)");

    private readonly Option<Limit> _atMost = new("--at-most")
    {
        Description = "At most so many dumps of a guest in a time, or none for no limit; what is suppressed is counted",
        HelpName = "N/TIME",
        DefaultValueFactory = _ => new Limit(new GuardOptions { Folder = "" }.AtMost),
        CustomParser = result =>
        {
            var word = result.Tokens[0].Value;
            if (word == "none")
                return Limit.None;
            if (GuardWords.TryRate(word, out var rate))
                return new Limit(rate);
            result.AddError($"--at-most does not take '{word}': say a number of dumps and a time (3/1h), or none");
            return Limit.None;
        },
    };

    private readonly Option<ulong> _reserve = Of("--reserve", "SIZE", "Free space to leave on the folder's disk", GuardOptions.DefaultReserve, Size, "a size (20G, 500M; 0 for none)");

    private readonly Option<string?> _run = new("--run") { Description = "Run this after each dump, facts in its environment (FORENGATE_FILE, …); no shell sees it", HelpName = "COMMAND" };

    private readonly Option<bool> _shell = new("--run-shell") { Description = "Give --run to /bin/sh -c" };

    private readonly Option<TimeSpan> _runLimit = Of(
        "--run-limit", "TIME", "How long --run may take", TimeSpan.FromMinutes(10), text => GuardWords.TryTime(text, out var time) ? time : null, "a time (90s, 5m, 1h)");

    private readonly Option<int> _parallel = Of("--parallel", "N", "How many guests are dumped at a time", 2, text => Number(text, MostParallel), "a number from 1 to 64");

    private readonly Option<bool> _once = new("--once") { Description = "End after the first dump, made or failed" };

    private readonly Option<bool> _plan = new("--plan") { Description = "Only say what would happen at a crash of each guest, and what it lacks" };

    public void AddTo(Command command)
    {
        command.Arguments.Add(_guests);
        foreach (var option in (Option[])[_to, _kind, _on, _silentFor, _agent, _keep, _keepBytes, _atMost, _reserve, _run, _shell, _runLimit, _parallel, _once, _plan])
            command.Options.Add(option);
        command.Validators.Add(Validate);
    }

    public bool OnlyPlan(ParseResult result) => result.GetValue(_plan);

    public GuardOptions Options(ParseResult result, TargetOptions target)
    {
        var guests = result.GetValue(_guests) ?? [];
        return new GuardOptions
        {
            Guests = [.. guests.Where(guest => !IsMonitor(guest)).Select(NameOf)],
            Monitors = [.. guests.Where(IsMonitor).Select(guest => new GuardedMonitor(NameOf(guest), result.GetValue(_agent)))],
            Folder = result.GetRequiredValue(_to),
            Kind = result.GetValue(_kind),
            Triggers = result.GetValue(_on),
            SilentFor = result.GetValue(_silentFor),
            Keep = result.GetValue(_keep),
            KeepBytes = result.GetValue(_keepBytes),
            AtMost = result.GetRequiredValue(_atMost).Rate,
            Reserve = result.GetValue(_reserve),
            Run = Words(result) is { } words ? new FollowUp(words, result.GetValue(_runLimit)) : null,
            Once = result.GetValue(_once),
            Parallel = result.GetValue(_parallel),
            Target = target,
        };
    }

    private void Validate(CommandResult result)
    {
        var guests = result.GetValue(_guests) ?? [];
        foreach (var guest in guests.Where(guest => guest.Length == 0 || guest is "libvirt:" or "qmp:" || guest.StartsWith("pid:", StringComparison.Ordinal)))
            result.AddError($"'{guest}' is no guest to guard: write a name, libvirt:NAME or qmp:SOCKET");
        if (result.GetValue(_agent) is not null && guests.Count(IsMonitor) != 1)
            result.AddError("--agent-socket belongs to one qmp:SOCKET: libvirt's guests need none");
        if (result.GetValue(_run) is { } run && !result.GetValue(_shell) && FollowUp.Split(run) is null)
            result.AddError("--run: no program in it, or a quote that is not closed");
        if (result.GetValue(_shell) && result.GetValue(_run) is null)
            result.AddError("--run-shell says how --run is run: name the command");
    }

    private IReadOnlyList<string>? Words(ParseResult result) => result.GetValue(_run) is not { } run ? null
        : result.GetValue(_shell) ? ["/bin/sh", "-c", run]
        : FollowUp.Split(run);

    private static bool IsMonitor(string guest) => GuestTarget.TryParse(guest, out var target) && target.Kind == GuestTargetKind.Qmp;

    private static string NameOf(string guest) => GuestTarget.TryParse(guest, out var target) ? target.Name : guest;

    private static GuardTriggers? Triggers(string text)
    {
        var triggers = GuardTriggers.None;
        foreach (var word in text.Split(',', StringSplitOptions.TrimEntries))
        {
            if (!Enum.TryParse<GuardTriggers>(word, ignoreCase: true, out var one) || !Enum.GetNames<GuardTriggers>().Contains(word, StringComparer.OrdinalIgnoreCase) || one == GuardTriggers.None)
                return null;
            triggers |= one;
        }
        return triggers;
    }

    private static int? Number(string text, int most) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0 && number <= most ? number : null;

    private static ulong? Size(string text) => GuardWords.TrySize(text, out var bytes) ? bytes : null;

    private static Option<T> Of<T>(string name, string helpName, string description, T otherwise, Func<string, T?> parse, string takes)
        where T : struct => new(name)
        {
            Description = description,
            HelpName = helpName,
            DefaultValueFactory = _ => otherwise,
            CustomParser = result => Parse(result, name, parse, takes, zeroAllowed: true) ?? otherwise,
        };

    private static Option<T?> OfNullable<T>(string name, string helpName, string description, Func<string, T?> parse, string takes)
        where T : struct => new(name)
        {
            Description = description,
            HelpName = helpName,
            CustomParser = result => Parse(result, name, parse, takes, zeroAllowed: false),
        };

    private static T? Parse<T>(ArgumentResult result, string name, Func<string, T?> parse, string takes, bool zeroAllowed)
        where T : struct
    {
        var word = result.Tokens[0].Value;
        if (parse(word) is { } value && (zeroAllowed || !value.Equals(default(T))))
            return value;
        result.AddError($"{name} does not take '{word}': say {takes}");
        return null;
    }
}
