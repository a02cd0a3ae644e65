using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A connection to a libvirt daemon.</summary>
internal sealed class LibvirtConnection : SafeHandle
{
    private LibvirtConnection(nint connection, string uri)
        : base(0, ownsHandle: true)
    {
        SetHandle(connection);
        Uri = uri;
    }

    public string Uri { get; }

    public override bool IsInvalid => handle == 0;

    /// <param name="uri">libvirt URI.</param>
    /// <param name="readOnly">Enough for listing.</param>
    /// <param name="ct">Ends the waiting.</param>
    public static LibvirtConnection Open(string uri, bool readOnly, CancellationToken ct)
    {
        LibvirtCall.Load();
        return LibvirtCall.Run($"connecting to {uri}", () =>
        {
            var connection = readOnly ? LibvirtNative.OpenReadOnly(uri) : LibvirtNative.Open(uri);
            if (connection != 0)
                return new LibvirtConnection(connection, uri);
            var failure = LibvirtCall.Failure($"no connection to libvirt at {uri}");
            var advice = failure.Failure == GuestFailure.NoRights || failure.Message.Contains("Permission denied", StringComparison.OrdinalIgnoreCase)
                ? "; run as root or as a member of the group libvirt"
                : "; is the daemon running, and is it the right one (--connect URI)?";
            throw new GuestException(advice.Contains("root", StringComparison.Ordinal) ? GuestFailure.NoRights : failure.Failure, failure.Message + advice);
        }, ct);
    }

    /// <summary>False once the daemon at the other end is gone.</summary>
    public bool IsAlive()
    {
        using var held = new HeldHandle(this);
        return LibvirtNative.IsAlive(held.Value) > 0;
    }

    /// <summary>"QEMU" for what we can look into.</summary>
    public unsafe string Driver()
    {
        using var held = new HeldHandle(this);
        return Marshal.PtrToStringUTF8((nint)LibvirtNative.DriverName(held.Value)) ?? "";
    }

    /// <summary>The name of the host the daemon runs on; null where it does not say.</summary>
    public unsafe string? HostName()
    {
        using var held = new HeldHandle(this);
        return TakeText(LibvirtNative.HostName(held.Value));
    }

    /// <summary>A text that libvirt allocated, which is given back; null for none.</summary>
    internal static unsafe string? TakeText(byte* text)
    {
        if (text is null)
            return null;
        try
        {
            return Marshal.PtrToStringUTF8((nint)text);
        }
        finally
        {
            LibvirtNative.Free(text);
        }
    }

    /// <summary>Of the QEMU that this libvirt starts; null where it does not say.</summary>
    public unsafe Version? HypervisorVersion()
    {
        using var held = new HeldHandle(this);
        ulong version;
        return LibvirtNative.HypervisorVersion(held.Value, &version) < 0 || version == 0
            ? null : new Version((int)(version / 1_000_000), (int)(version / 1_000 % 1_000), (int)(version % 1_000));
    }

    public List<GuestInfo> List(CancellationToken ct) => LibvirtCall.Run("listing the guests", ListNow, ct);

    private unsafe List<GuestInfo> ListNow()
    {
        using var held = new HeldHandle(this);
        nint* domains;
        var count = LibvirtNative.ListAllDomains(held.Value, &domains, 0);
        if (count < 0)
            throw LibvirtCall.Failure($"listing the guests of {Uri}");
        var guests = new List<GuestInfo>(count);
        for (var i = 0; i < count; i++)
        {
            using var domain = new LibvirtDomain(domains[i]);
            if (domain.TryDescribe() is { } info)
                guests.Add(info);
        }
        LibvirtNative.Free(domains);
        return guests;
    }

    /// <summary>The domain of that name or UUID; null when there is none.</summary>
    public LibvirtDomain? Find(string nameOrUuid, CancellationToken ct) => LibvirtCall.Run($"looking up {nameOrUuid}", () => FindNow(nameOrUuid), ct);

    private unsafe LibvirtDomain? FindNow(string nameOrUuid)
    {
        using var held = new HeldHandle(this);
        var domain = LibvirtNative.LookupByName(held.Value, nameOrUuid);
        if (domain == 0 && Guid.TryParse(nameOrUuid, out var uuid))
        {
            var bytes = stackalloc byte[LibvirtNative.UuidLength];
            uuid.TryWriteBytes(new Span<byte>(bytes, LibvirtNative.UuidLength), bigEndian: true, out _);
            domain = LibvirtNative.LookupByUuid(held.Value, bytes);
        }
        if (domain != 0)
            return new LibvirtDomain(domain);
        var failure = LibvirtCall.Failure($"libvirt:{nameOrUuid}");
        return failure.Failure == GuestFailure.NotFound ? null : throw failure;
    }

    protected override bool ReleaseHandle() => LibvirtNative.Close(handle) >= 0;
}
