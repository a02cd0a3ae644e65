using System.Diagnostics;

namespace Forengate.Guests;

/// <summary>Puts on_crash of libvirt's domains back for a guard that was killed: of those in which a note names it.</summary>
internal static class DomainPutBack
{
    /// <summary>Another guard looks every two seconds whether the one that holds a guest lives, and takes over where it does not: it goes first, so that its guests are never without.</summary>
    private static readonly TimeSpan s_others = TimeSpan.FromSeconds(4);

    /// <summary>How long a daemon that does not answer, or a domain that another job has, is tried again.</summary>
    private static readonly TimeSpan s_whole = TimeSpan.FromMinutes(3);

    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(500);

    /// <param name="uri">libvirt's.</param>
    /// <param name="owner">The dead guard.</param>
    /// <param name="say">Told in one line what became of each guest.</param>
    /// <returns>True when no domain has a note of that guard's any more.</returns>
    public static bool Run(string uri, HoldOwner owner, Action<string> say)
    {
        Thread.Sleep(s_others);
        for (var began = Stopwatch.GetTimestamp(); ; Thread.Sleep(s_pause))
        {
            string? failure;
            try
            {
                using var connection = LibvirtConnection.Open(uri, readOnly: false, CancellationToken.None);
                failure = RunOnce(connection, owner, say);
            }
            catch (GuestException e)
            {
                failure = e.Message;
            }
            if (failure is null)
                return true;
            if (Stopwatch.GetElapsedTime(began) < s_whole)
                continue;
            say($"{uri}: {failure}: guests' on_crash may still be held at preserve: forengate rescue libvirt:NAME, or the next guard, puts it back");
            return false;
        }
    }

    /// <summary>Null when all is done, else what went wrong last.</summary>
    private static string? RunOnce(LibvirtConnection connection, HoldOwner owner, Action<string> say)
    {
        string? failure = null;
        foreach (var guest in connection.List(CancellationToken.None))
        {
            if (guest.Id is null)
                continue;
            try
            {
                if (LibvirtCall.Run("putting on_crash back", () => PutBack(connection, guest.Uuid, owner), CancellationToken.None) is { } done)
                    say($"libvirt:{guest.Name}: {done}");
            }
            catch (GuestException e)
            {
                failure = e.Message;
            }
        }
        return failure;
    }

    /// <summary>What was done; null where the guest is none of that guard's. Blocks.</summary>
    private static string? PutBack(LibvirtConnection connection, Guid uuid, HoldOwner owner)
    {
        using var domain = connection.Find(uuid.ToString(), CancellationToken.None);
        if (domain?.Number() is null)
            return null;
        var setting = CrashSetting.Read(domain.Describe());
        if (setting.Noted is not { } noted || setting.Owner != owner)
            return null;
        var isHeld = setting.OnCrash == CrashAction.Preserve;
        DomainLook.PutBack(domain, setting, noted);
        var done = isHeld ? $"put its on_crash back to {CrashSetting.NameOf(noted)}" : "took the guard's note away";
        return domain.StateOrUnknown() == GuestState.Crashed
            ? $"{done}; the guest has crashed and stands still, as the guard held it: dump it, then {WayOut(domain.Name, noted)} (forengate rescue libvirt:{domain.Name} looks at it)"
            : done;
    }

    private static string WayOut(string name, CrashAction action) => action is CrashAction.Destroy or CrashAction.CoredumpDestroy ? $"'virsh destroy {name}'" : $"'virsh reset {name}' and 'virsh resume {name}'";
}
