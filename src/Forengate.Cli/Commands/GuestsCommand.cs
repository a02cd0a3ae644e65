using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>guests</c>: the guests of this host.</summary>
internal static class GuestsCommand
{
    private const int GuestsNamed = 8;

    public static Command Create(Shared shared)
    {
        var windows = new Option<bool>("--windows", "-w")
        {
            Description = "Also look into running guests for their Windows version and how their memory would be taken, without stopping them (libvirt marks a domain asked so as tainted: custom-monitor)",
        };
        var command = new Command("guests", "Lists the guests of this host: name, state, memory, Windows version");
        command.Options.Add(windows);
        command.Options.Add(shared.Connect);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var survey = GuestSurvey.Of(result.GetValue(shared.Connect), result.GetValue(windows), cancellation);
            var guests = survey.Guests;
            using (var output = Console.OpenStandardOutput())
                new ListingWriter<SurveyedGuest>(Tables.Guests).Write(output, guests, result.GetValue(shared.Output));
            if (guests.Count == 0)
                Run.Say(["there are no guests here (--connect names another libvirt)"]);
            Run.Say(Needs(guests));
            string[] unlisted = survey.LibvirtFailure is { } failure ? [$"libvirt's guests are not listed: {failure}"] : [];
            return Run.Incomplete([.. unlisted, .. guests.Where(guest => guest.Reason is not null).Select(guest => $"{guest.Guest.Target}: {guest.Reason}")]);
        }));
        return command;
    }

    /// <summary>One line for each right that is lacking, with the guests that it would show more of. Those that were looked at in vain say it themselves.</summary>
    private static IEnumerable<string> Needs(IEnumerable<SurveyedGuest> guests) =>
        guests.Where(guest => guest is { Reason: null, Access.Needs: not null } && (guest.Plan is null || guest.Windows is null)).GroupBy(guest => guest.Access!.Needs).Select(group =>
            $"WINDOWS and PLAN of {string.Join(", ", group.Take(GuestsNamed).Select(guest => guest.Guest.Name))}{(group.Count() > GuestsNamed ? $" and {group.Count() - GuestsNamed} more" : "")} need {group.Key}");
}
