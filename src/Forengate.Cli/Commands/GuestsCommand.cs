using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>guests</c>: the guests of this host.</summary>
internal static class GuestsCommand
{
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
            var guests = GuestSurvey.Of(result.GetValue(shared.Connect), result.GetValue(windows), cancellation);
            using (var output = Console.OpenStandardOutput())
                new ListingWriter<SurveyedGuest>(Tables.Guests).Write(output, guests, result.GetValue(shared.Output));
            if (guests.Count == 0)
                Run.Say(["libvirt knows no guests here (--connect names another libvirt; qmp:SOCKET reaches a QEMU without one)"]);
            return Run.Incomplete([.. guests.Where(guest => guest.Reason is not null).Select(guest => $"{guest.Guest.Target}: {guest.Reason}")]);
        }));
        return command;
    }
}
