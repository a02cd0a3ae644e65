namespace Forengate.Guests;

/// <summary>What was seen, and set, in a domain when it came under guard.</summary>
/// <param name="Setting">As it was found.</param>
/// <param name="State">What it does.</param>
/// <param name="IsHeld">Its on_crash is "preserve" now, and is to be put back.</param>
/// <param name="HeldBy">Another guard that lives and holds it; null where none does.</param>
/// <param name="TookOver">It was another guard's until now.</param>
/// <param name="Refusal">Why it could not be held; null when it is, or needs not be.</param>
internal sealed record DomainLook(CrashSetting Setting, GuestState State, bool IsHeld, HoldOwner? HeldBy, bool TookOver, string? Refusal)
{
    /// <summary>Looks at a running domain and holds its crashes, unless another guard that lives does so already. Blocks.</summary>
    /// <param name="connection">libvirt's.</param>
    /// <param name="uuid">Of the domain.</param>
    /// <param name="hold">False to look only.</param>
    /// <param name="held">What its owner wants, where we hold it since an earlier look.</param>
    public static DomainLook Take(LibvirtConnection connection, Guid uuid, bool hold, CrashAction? held)
    {
        using var domain = connection.Find(uuid.ToString(), CancellationToken.None) ?? throw new GuestException(GuestFailure.NotFound, $"{uuid}: the guest is gone");
        var setting = CrashSetting.Read(domain.Describe());
        // A keeper that put back what we took over at the same moment may have taken our note away.
        if (held is not null && setting is { OnCrash: CrashAction.Preserve, Noted: null })
            setting = setting with { Noted = held };
        string? refusal = null;
        var isHeld = false;
        var other = hold && setting.Owner is { IsSelf: false } owner && owner.Look() == OwnerStanding.Lives ? owner : null;
        if (hold && other is null && setting.Wanted != CrashAction.Preserve)
        {
            try
            {
                // The note first: killed between the two we leave a note that says what is so.
                if (setting.Noted != setting.Wanted || setting.Owner is not { IsSelf: true })
                    domain.NoteOnCrash(setting.Wanted, HoldOwner.Self);
                if (setting.OnCrash != CrashAction.Preserve)
                    domain.SetOnCrash(CrashAction.Preserve);
                isHeld = true;
            }
            catch (EntryPointNotFoundException)
            {
                refusal = "this libvirt (before 3.9.0) can't set it for a running guest";
            }
            catch (GuestException e)
            {
                refusal = e.Message;
            }
        }
        return new DomainLook(setting, domain.StateOrUnknown(), isHeld, other, isHeld && setting.Owner is { IsSelf: false }, refusal);
    }

    /// <summary>Puts on_crash back and takes the note away, unless another guard has taken the domain over. Blocks.</summary>
    public static void PutBack(LibvirtConnection connection, Guid uuid)
    {
        using var domain = connection.Find(uuid.ToString(), CancellationToken.None);
        if (domain?.Number() is null)
            return;
        var setting = CrashSetting.Read(domain.Describe());
        if (setting.Noted is not { } noted)
            return;
        if (setting.Owner is { IsSelf: false } owner && owner.Look() is OwnerStanding.Lives or OwnerStanding.Unknown)
            return;
        PutBack(domain, setting, noted);
    }

    /// <summary>As the domain was before a guard came. Blocks.</summary>
    public static void PutBack(LibvirtDomain domain, CrashSetting setting, CrashAction noted)
    {
        // Where somebody has set another action meanwhile, theirs stays.
        if (setting.OnCrash == CrashAction.Preserve)
            domain.SetOnCrash(noted);
        // Another guard may have come meanwhile: its note is not ours to take away.
        if (CrashSetting.Read(domain.Describe()).Owner == setting.Owner)
            domain.ForgetNote();
    }

    /// <summary>Does to a crashed domain what libvirt would have done (qemu_driver.c, processGuestPanicEvent), and says what. Blocks.</summary>
    public static string Apply(LibvirtConnection connection, Guid uuid, int? id, CrashAction action, string? coreFile)
    {
        using var domain = connection.Find(uuid.ToString(), CancellationToken.None);
        if (domain?.Number() is not { } number)
            return "the guest was ended by somebody meanwhile";
        if (id is not null && number != id)
            return "the guest was started anew by somebody meanwhile: left alone";
        if (domain.StateOrUnknown() is not (GuestState.Crashed or GuestState.Paused))
            return "the guest was reset or continued by somebody meanwhile: left alone";
        var word = CrashSetting.NameOf(action);
        var core = "";
        if (action is CrashAction.CoredumpDestroy or CrashAction.CoredumpRestart)
        {
            if (coreFile is not null)
                domain.DumpMemory(coreFile);
            core = coreFile is null ? "; libvirt's own core was not written" : $"; libvirt wrote its core to {coreFile}";
        }
        switch (action)
        {
            case CrashAction.Destroy or CrashAction.CoredumpDestroy:
                domain.Destroy();
                return $"the guest was ended, as its on_crash ({word}) asks for{core}";
            case CrashAction.Restart or CrashAction.RenameRestart or CrashAction.CoredumpRestart:
                // As libvirt's "fake reboot" does it: the same QEMU goes on.
                domain.Reset();
                domain.Resume();
                return $"the guest was reset and runs again, as its on_crash ({word}) asks for{core}";
            default:
                return "the guest stands as its on_crash (preserve) asks for";
        }
    }
}
