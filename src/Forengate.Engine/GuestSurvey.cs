using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>One guest of the host, with the Windows in it where it was looked at.</summary>
/// <param name="Guest">What libvirt says.</param>
/// <param name="Windows">"10.0.19041 (19041.1.amd64fre.vb_release…)"; null where it was not looked at or none was found.</param>
/// <param name="Reason">Why there is none, where it was looked at in vain.</param>
/// <param name="Plan">How its memory would be taken for a dump; null where it was not looked at or can't be told.</param>
public sealed record SurveyedGuest(GuestInfo Guest, string? Windows, string? Reason, CapturePlan? Plan = null);

/// <summary>The guests of a host.</summary>
public static class GuestSurvey
{
    /// <summary>Lists the guests of a libvirt connection.</summary>
    /// <param name="connectUri">null for libvirt's default.</param>
    /// <param name="look">
    /// Also looks into running guests for their Windows version, without stopping them. It asks QEMU's monitor through libvirt, which marks the domain as tainted: a choice, not a default.
    /// </param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="GuestException">libvirt can't be reached.</exception>
    public static IReadOnlyList<SurveyedGuest> Of(string? connectUri, bool look, CancellationToken cancellation)
    {
        var guests = new List<SurveyedGuest>();
        foreach (var guest in GuestList.Of(connectUri, cancellation))
            guests.Add(look && guest.State is GuestState.Running or GuestState.Paused ? Look(guest, connectUri, cancellation) : new SurveyedGuest(guest, null, null));
        return guests;
    }

    private static SurveyedGuest Look(GuestInfo guest, string? connectUri, CancellationToken cancellation)
    {
        try
        {
            var plan = CapturePlans.Of(guest.Target, new TargetOptions { ConnectUri = connectUri }, cancellation);
            var options = new TargetOptions { ConnectUri = connectUri, Consistency = CaptureChoice.Live };
            using var examination = Examination.Open(guest.Target, options, null, cancellation);
            var version = examination.Windows.System?.Version ?? examination.Windows.X86?.Version;
            return new SurveyedGuest(guest, version is null ? null : $"{version} {version.BuildLab}".TrimEnd(), examination.Windows.Reason, plan);
        }
        catch (GuestException failure)
        {
            return new SurveyedGuest(guest, null, failure.Message);
        }
    }
}
