using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A domain of libvirt's. All calls may block: go through <see cref="LibvirtCall.Run"/>.</summary>
internal sealed unsafe class LibvirtDomain : SafeHandle
{
    public LibvirtDomain(nint domain)
        : base(0, ownsHandle: true) => SetHandle(domain);

    public override bool IsInvalid => handle == 0;

    public string Name
    {
        get
        {
            using var held = new HeldHandle(this);
            return Marshal.PtrToStringUTF8((nint)LibvirtNative.DomainName(held.Value)) ?? "";
        }
    }

    public Guid Uuid
    {
        get
        {
            using var held = new HeldHandle(this);
            var bytes = stackalloc byte[LibvirtNative.UuidLength];
            return LibvirtNative.DomainUuid(held.Value, bytes) < 0 ? Guid.Empty : new Guid(new ReadOnlySpan<byte>(bytes, LibvirtNative.UuidLength), bigEndian: true);
        }
    }

    /// <summary>Null when the domain went away meanwhile.</summary>
    public GuestInfo? TryDescribe()
    {
        using var held = new HeldHandle(this);
        LibvirtNative.DomainInfo info;
        if (LibvirtNative.DomainInformation(held.Value, &info) < 0)
            return null;
        var id = LibvirtNative.DomainId(held.Value);
        return new GuestInfo
        {
            Name = Name,
            Uuid = Uuid,
            State = info.State <= (byte)GuestState.Suspended ? (GuestState)info.State : GuestState.Unknown,
            MaxMemory = (ulong)info.MaxMemory << 10,
            Memory = (ulong)info.Memory << 10,
            VirtualCpus = info.VirtualCpus,
            Id = id == uint.MaxValue ? null : (int)id,
            MemoryFacts = TryDescription() is { } xml ? GuestMemoryFacts.Parse(xml) : null,
        };
    }

    /// <summary>The domain's XML, without what only a read-write connection gets (passwords); null when the domain went away meanwhile.</summary>
    private string? TryDescription()
    {
        using var held = new HeldHandle(this);
        return LibvirtConnection.TakeText(LibvirtNative.XmlDescription(held.Value, 0));
    }

    public void Suspend()
    {
        using var held = new HeldHandle(this);
        if (LibvirtNative.Suspend(held.Value) < 0)
            throw LibvirtCall.Failure($"stopping {Name}");
    }

    public void Resume()
    {
        using var held = new HeldHandle(this);
        if (LibvirtNative.Resume(held.Value) < 0)
            throw LibvirtCall.Failure($"continuing {Name}");
    }

    /// <summary>A core of memory and CPU notes in the ELF format, written by libvirt to a path.</summary>
    public void DumpMemory(string path)
    {
        using var held = new HeldHandle(this);
        if (LibvirtNative.CoreDump(held.Value, path, 0, LibvirtNative.DumpMemoryOnly) < 0)
            throw LibvirtCall.Failure($"dumping {Name}");
    }

    /// <summary>A core as the driver makes it without being told how, for hypervisors that know no other.</summary>
    public void DumpWhole(string path)
    {
        using var held = new HeldHandle(this);
        if (LibvirtNative.CoreDump(held.Value, path, 0, 0) < 0)
            throw LibvirtCall.Failure($"dumping {Name}");
    }

    /// <summary>Guest-physical memory, by the hypervisor's own hand (QEMU: pmemsave). Not to be asked for device memory: reading that may change it.</summary>
    public void Peek(ulong address, Span<byte> destination)
    {
        using var held = new HeldHandle(this);
        fixed (byte* target = destination)
        {
            if (LibvirtNative.MemoryPeek(held.Value, address, (nuint)destination.Length, target, LibvirtNative.MemoryPhysical) < 0)
                throw LibvirtCall.Failure($"reading memory of {Name}");
        }
    }

    /// <summary>libvirt's description of the domain as it is now.</summary>
    public string Describe() => TryDescription() ?? throw LibvirtCall.Failure($"describing {Name}");

    /// <summary>The state and, where it is <see cref="LibvirtNative.Paused"/>, why (virDomainPausedReason).</summary>
    public (GuestState State, int Reason) State()
    {
        using var held = new HeldHandle(this);
        int state, reason;
        if (LibvirtNative.DomainState(held.Value, &state, &reason, 0) < 0)
            throw LibvirtCall.Failure($"the state of {Name}");
        return (state is >= 0 and <= (int)GuestState.Suspended ? (GuestState)state : GuestState.Unknown, reason);
    }

    public string MonitorCommand(string command, bool human)
    {
        using var held = new HeldHandle(this);
        byte* result;
        if (LibvirtNative.MonitorCommand(held.Value, command, &result, human ? LibvirtNative.MonitorCommandHuman : 0) < 0)
            throw LibvirtCall.Failure($"monitor of {Name}");
        try
        {
            return Marshal.PtrToStringUTF8((nint)result) ?? "";
        }
        finally
        {
            LibvirtNative.Free(result);
        }
    }

    /// <summary>A monitor command with a descriptor passed along; null where this libvirt (before 8.2.0) can't.</summary>
    public string? MonitorCommand(string command, int descriptor)
    {
        using var held = new HeldHandle(this);
        byte* result;
        try
        {
            if (LibvirtNative.MonitorCommandWithFiles(held.Value, command, 1, &descriptor, null, null, &result, 0) < 0)
                throw LibvirtCall.Failure($"monitor of {Name}");
        }
        catch (EntryPointNotFoundException)
        {
            return null;
        }
        try
        {
            return Marshal.PtrToStringUTF8((nint)result) ?? "";
        }
        finally
        {
            LibvirtNative.Free(result);
        }
    }

    protected override bool ReleaseHandle() => LibvirtNative.FreeDomain(handle) >= 0;
}
