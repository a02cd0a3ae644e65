using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>What guarding does to a domain. All of it may block: go through <see cref="LibvirtCall.Run"/> or a thread of its own.</summary>
internal static unsafe class DomainControl
{
    // virErrorNumber
    private const int VIR_ERR_AGENT_UNRESPONSIVE = 86;
    private const int VIR_ERR_AGENT_UNSYNCED = 97;

    /// <summary>The domain's state; <see cref="GuestState.Unknown"/> where libvirt does not say.</summary>
    public static GuestState StateOrUnknown(this LibvirtDomain domain)
    {
        try
        {
            return domain.State().State;
        }
        catch (GuestException)
        {
            return GuestState.Unknown;
        }
    }

    /// <summary>libvirt's running number; null for a domain that is off.</summary>
    public static int? Number(this LibvirtDomain domain)
    {
        using var held = new HeldHandle(domain);
        var id = LibvirtNative.DomainId(held.Value);
        return id == uint.MaxValue ? null : (int)id;
    }

    /// <summary>Sets what becomes of the running domain when its guest crashes. The persistent definition stays as it is.</summary>
    public static void SetOnCrash(this LibvirtDomain domain, CrashAction action)
    {
        using var held = new HeldHandle(domain);
        if (LibvirtEventNative.SetLifecycleAction(held.Value, LibvirtEventNative.OnCrash, (uint)action, LibvirtEventNative.AffectLive) < 0)
            throw LibvirtCall.Failure($"on_crash of {domain.Name}");
    }

    /// <summary>
    /// Leaves a note in the running domain's metadata of what its on_crash was, and who has changed it: it outlives us, and the daemon, and goes when the domain does.
    /// </summary>
    public static void NoteOnCrash(this LibvirtDomain domain, CrashAction action, HoldOwner owner) => SetNote(domain, CrashSetting.Note(action, owner));

    /// <summary>Takes the note away.</summary>
    public static void ForgetNote(this LibvirtDomain domain) => SetNote(domain, null);

    private static void SetNote(LibvirtDomain domain, string? text)
    {
        using var held = new HeldHandle(domain);
        if (LibvirtEventNative.SetMetadata(held.Value, LibvirtEventNative.MetadataElement, text, text is null ? null : CrashSetting.NotePrefix, CrashSetting.NoteUri, LibvirtEventNative.AffectLive) < 0)
            throw LibvirtCall.Failure($"metadata of {domain.Name}");
    }

    public static void Reset(this LibvirtDomain domain)
    {
        using var held = new HeldHandle(domain);
        if (LibvirtEventNative.Reset(held.Value, 0) < 0)
            throw LibvirtCall.Failure($"resetting {domain.Name}");
    }

    public static void Destroy(this LibvirtDomain domain)
    {
        using var held = new HeldHandle(domain);
        if (LibvirtEventNative.Destroy(held.Value) < 0)
            throw LibvirtCall.Failure($"ending {domain.Name}");
    }

    /// <summary>Asks the guest agent for a sign of life (guest-ping, before which libvirt makes it answer a guest-sync). libvirt marks the domain as tainted (custom-ga-command).</summary>
    public static AgentAnswer AskAgent(this LibvirtDomain domain, TimeSpan patience)
    {
        if (domain.StateOrUnknown() != GuestState.Running)
            return AgentAnswer.NotAsked;
        using var held = new HeldHandle(domain);
        var answer = LibvirtEventNative.AgentCommand(held.Value, """{"execute":"guest-ping"}""", (int)Math.Max(1, Math.Ceiling(patience.TotalSeconds)), 0);
        if (answer is not null)
        {
            LibvirtNative.Free(answer);
            return AgentAnswer.Answered;
        }
        var error = LibvirtNative.LastError();
        var text = error is null ? "" : Marshal.PtrToStringUTF8((nint)error->Message) ?? "";
        // An agent that is not connected has gone in order (service stopped, guest still booting); a hung guest leaves the port open.
        if (error is null || error->Code is not (VIR_ERR_AGENT_UNRESPONSIVE or VIR_ERR_AGENT_UNSYNCED) || text.Contains("not connected", StringComparison.Ordinal))
            return AgentAnswer.NotAsked;
        return domain.StateOrUnknown() == GuestState.Running ? AgentAnswer.Silent : AgentAnswer.NotAsked;
    }
}
