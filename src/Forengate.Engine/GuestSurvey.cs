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
/// <param name="Guests">libvirt's, then those of QEMU processes that no domain stands for.</param>
/// <param name="LibvirtFailure">Why libvirt's are not among them; null where they are.</param>
public sealed record GuestSurvey(IReadOnlyList<SurveyedGuest> Guests, string? LibvirtFailure)
{
    /// <summary>Lists the guests of a libvirt connection, over its read-write socket, or, where that refuses us, over the read-only one; and, where no connection was asked for, the QEMUs of this host that are none of libvirt's.</summary>
    /// <param name="connectUri">null for libvirt's default, and all of this host.</param>
    /// <param name="look">
    /// Also looks into running guests for their Windows version, without stopping them. It asks QEMU's monitor through libvirt, which marks the domain as tainted: a choice, not a default.
    /// </param>
    /// <param name="cancellation">Ends the work.</param>
    /// <exception cref="GuestException">libvirt can't be reached, and there is no other guest.</exception>
    public static GuestSurvey Of(string? connectUri, bool look, CancellationToken cancellation)
    {
        var guests = new List<SurveyedGuest>();
        HostGuests? host = null;
        GuestException? failure = null;
        try
        {
            host = HostGuests.Of(connectUri, cancellation);
        }
        catch (GuestException e) when (connectUri is null)
        {
            failure = e;
        }
        foreach (var (guest, access) in host?.Guests ?? [])
        {
            var plain = new SurveyedGuest(guest, null, null, ExpectedPlan.Of(guest, access, host!.HypervisorVersion)) { Access = access };
            var canBeSeen = look && guest.State is GuestState.Running or GuestState.Paused;
            guests.Add(!canBeSeen ? plain : access?.Needs is { } needs ? plain with { Reason = Unseen(needs) } : Look(plain, guest.Target, connectUri, cancellation));
        }
        if (connectUri is null && host?.IsOfThisHost != false)
            guests.AddRange(ProcessGuests.Of([.. guests.Select(guest => guest.Guest.Uuid)], cancellation).Select(guest => Survey(guest, look, cancellation)));
        if (failure is not null && guests.Count == 0)
            throw failure;
        return new GuestSurvey(guests, failure?.Message);
    }

    /// <summary>One without libvirt. Its Windows needs no monitor; its plan does.</summary>
    private static SurveyedGuest Survey(ProcessGuest guest, bool look, CancellationToken cancellation)
    {
        var plain = new SurveyedGuest(guest.Guest, null, null, guest.Plan()) { Access = guest.Access };
        if (!look || !guest.IsStarted)
            return plain;
        if (guest.Access.MemoryNeeds is { } needs)
            return plain with { Reason = Unseen(needs) };
        return guest.IsAsked ? Look(plain, guest.Guest.Target, null, cancellation) : Find(plain, guest.Process.ToString(), null, cancellation);
    }

    private static string Unseen(string needs) => $"its Windows can't be looked for: that needs {needs}";

    private static SurveyedGuest Look(SurveyedGuest plain, string target, string? connectUri, CancellationToken cancellation)
    {
        try
        {
            var plan = CapturePlans.Of(target, new TargetOptions { ConnectUri = connectUri }, cancellation);
            return Find(plain, target, connectUri, cancellation) with { Plan = plan, PlanWasAsked = true };
        }
        catch (GuestException failure)
        {
            return plain with { Reason = failure.Message };
        }
    }

    private static SurveyedGuest Find(SurveyedGuest plain, string target, string? connectUri, CancellationToken cancellation)
    {
        try
        {
            using var examination = Examination.Open(target, new TargetOptions { ConnectUri = connectUri, Consistency = CaptureChoice.Live }, null, cancellation);
            var version = examination.Windows.System?.Version ?? examination.Windows.X86?.Version;
            return plain with { Windows = version is null ? null : $"{version} {version.BuildLab}".TrimEnd(), Reason = examination.Windows.Reason };
        }
        catch (GuestException failure)
        {
            return plain with { Reason = failure.Message };
        }
    }
}
