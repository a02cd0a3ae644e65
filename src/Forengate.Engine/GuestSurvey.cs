using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>One guest of the host, with the Windows in it where it was looked at.</summary>
/// <param name="Guest">What libvirt says.</param>
/// <param name="Windows">"10.0.19041 (19041.1.amd64fre.vb_release…)"; null where it was not looked at or none was found.</param>
/// <param name="Reason">Why there is none, where it was looked at in vain.</param>
/// <param name="Plan">How its memory would be taken for a dump; null where it can't be told.</param>
public sealed record SurveyedGuest(GuestInfo Guest, string? Windows, string? Reason, CapturePlan? Plan = null)
{
    /// <summary>What we may do with it; null for a guest that does not run, or is no QEMU's.</summary>
    public GuestAccess? Access { get; init; }

    /// <summary>True where QEMU itself was asked for <see cref="Plan"/>; false where it is what can be expected from outside.</summary>
    public bool PlanWasAsked { get; init; }
}

/// <summary>The guests of a host.</summary>
public static class GuestSurvey
{
    /// <summary>Lists the guests of a libvirt connection: over its read-write socket, or, where that refuses us, over the read-only one.</summary>
    /// <param name="connectUri">null for libvirt's default.</param>
    /// <param name="look">
    /// Also looks into running guests for their Windows version, without stopping them. It asks QEMU's monitor through libvirt, which marks the domain as tainted: a choice, not a default.
    /// </param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="GuestException">libvirt can't be reached.</exception>
    public static IReadOnlyList<SurveyedGuest> Of(string? connectUri, bool look, CancellationToken cancellation)
    {
        var host = HostGuests.Of(connectUri, cancellation);
        var guests = new List<SurveyedGuest>();
        foreach (var (guest, access) in host.Guests)
        {
            var plain = new SurveyedGuest(guest, null, null, ExpectedPlan.Of(guest, access, host.HypervisorVersion)) { Access = access };
            var canBeSeen = look && guest.State is GuestState.Running or GuestState.Paused;
            guests.Add(!canBeSeen ? plain : access?.Needs is { } needs ? plain with { Reason = $"its Windows can't be looked for: that needs {needs}" } : Look(plain, connectUri, cancellation));
        }
        return guests;
    }

    private static SurveyedGuest Look(SurveyedGuest plain, string? connectUri, CancellationToken cancellation)
    {
        var guest = plain.Guest;
        try
        {
            var plan = CapturePlans.Of(guest.Target, new TargetOptions { ConnectUri = connectUri }, cancellation);
            var options = new TargetOptions { ConnectUri = connectUri, Consistency = CaptureChoice.Live };
            using var examination = Examination.Open(guest.Target, options, null, cancellation);
            var version = examination.Windows.System?.Version ?? examination.Windows.X86?.Version;
            return plain with
            {
                Windows = version is null ? null : $"{version} {version.BuildLab}".TrimEnd(),
                Reason = examination.Windows.Reason,
                Plan = plan,
                PlanWasAsked = true,
            };
        }
        catch (GuestException failure)
        {
            return plain with { Reason = failure.Message };
        }
    }
}
