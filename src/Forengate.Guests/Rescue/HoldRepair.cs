namespace Forengate.Guests;

/// <summary>A libvirt guest whose on_crash a guard holds: where the guard is gone, the former action is put back.</summary>
internal static class HoldRepair
{
    /// <summary>Looks at the note that guards leave in a domain's metadata, and undoes the hold of one that has ended.</summary>
    /// <returns>What the guest's owner wants done when it crashes.</returns>
    /// <exception cref="GuestException">libvirt does not tell, or refuses.</exception>
    public static CrashAction Run(RepairReport report, LibvirtMonitor monitor, RepairOptions options, CancellationToken ct)
    {
        var setting = CrashSetting.Read(LibvirtCall.Run("describing the guest", monitor.Domain.Describe, ct));
        if (setting.Noted is not { } noted)
            return setting.Wanted;
        var former = CrashSetting.NameOf(noted);
        var isHeld = setting.OnCrash == CrashAction.Preserve;
        var byHand = $"virsh set-lifecycle-action {monitor.DomainName} crash {former} --live";
        switch (setting.Owner?.Look())
        {
            case OwnerStanding.Lives:
                report.Remarks.Add($"its on_crash ({former}) is held by a {setting.Owner} that lives: left alone; it is put back when that one ends");
                return setting.Wanted;
            case null when isHeld:
                report.Found.Add($"its on_crash ({former}) is held by a guard that did not say who it is: left alone; if no guard runs any more: {byHand}");
                report.IsLeft = true;
                return setting.Wanted;
            case OwnerStanding.Unknown when isHeld:
                report.Found.Add($"its on_crash ({former}) is held by a {setting.Owner} that can't be seen from here (another container's, or hidden in /proc): left alone; if that one does not run any more: {byHand}");
                report.IsLeft = true;
                return setting.Wanted;
            case null or OwnerStanding.Unknown:
                return setting.Wanted;
            case OwnerStanding.Elsewhere:
                report.Found.Add($"{What(isHeld, former, setting.OnCrash)} a guard of another host, or of before this host was started: the guest came here saved or migrated");
                break;
            default:
                report.Found.Add($"{What(isHeld, former, setting.OnCrash)} a guard that is gone (process {setting.Owner!.ProcessId})");
                break;
        }
        if (options.OnlyLook)
        {
            report.IsLeft = true;
            return setting.Wanted;
        }
        LibvirtCall.Run(
            "putting on_crash back",
            () =>
            {
                DomainLook.PutBack(monitor.Domain, setting, noted);
                return true;
            },
            ct);
        report.Done.Add(isHeld ? $"put its on_crash back to {former}" : "took the note away");
        return setting.Wanted;
    }

    private static string What(bool isHeld, string former, CrashAction now) =>
        isHeld ? $"its on_crash ({former}) is held by" : $"its on_crash is {CrashSetting.NameOf(now)}, and there is a note left of";
}
