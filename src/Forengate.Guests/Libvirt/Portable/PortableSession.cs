using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A guest of libvirt's that was reached by libvirt's own calls alone, wherever it runs, and not touched yet.</summary>
internal sealed class PortableSession : IDisposable
{
    private PortableSession(GuestTarget target, LibvirtMonitor monitor, CaptureOptions options, string reason)
    {
        Target = target;
        Monitor = monitor;
        Options = options;
        Reason = reason;
        Description = DomainDescription.Parse(LibvirtCall.Run("describing the guest", monitor.Domain.Describe, CancellationToken.None));
        (State, StateReason) = StateNow();
    }

    public GuestTarget Target { get; }

    public LibvirtMonitor Monitor { get; }

    public CaptureOptions Options { get; }

    /// <summary>Why libvirt's own means are used.</summary>
    public string Reason { get; }

    public DomainDescription Description { get; }

    /// <summary>As it was when the session was opened.</summary>
    public GuestState State { get; }

    private int StateReason { get; }

    public bool Running => State is GuestState.Running or GuestState.Blocked;

    public bool IsQemu => Monitor.Driver == LibvirtMonitor.QemuDriver;

    public List<string> Remarks { get; } = [];

    public List<string> Damage { get; } = [];

    /// <summary>True where QEMU's monitor may be asked through libvirt, which marks the domain as tainted.</summary>
    public bool MayAskMonitor => IsQemu && Options.Means is CaptureMeans.Auto or CaptureMeans.Monitor;

    /// <summary>
    /// True where the daemon can be expected to see our files: the same host by name. That it does is proved by its writing into a pipe of an unguessable name; on another host there is no such
    /// folder, and the attempt does nothing but stop the guest for milliseconds.
    /// </summary>
    public bool SharesFiles { get; private init; }

    /// <summary>Opens the guest this way where it is asked for, or the only one; null where QEMU's process serves.</summary>
    /// <exception cref="GuestException">No libvirt, no such guest, not running, encrypted, at work.</exception>
    public static PortableSession? TryOpen(GuestTarget target, CaptureOptions options, CancellationToken ct)
    {
        if (target.Kind != GuestTargetKind.Libvirt)
        {
            return options.Means is CaptureMeans.Auto or CaptureMeans.Qemu
                ? null
                : throw new GuestException(GuestFailure.NotFound, $"{target} is no guest of libvirt's: --means {options.Means.ToString().ToLowerInvariant()} is for libvirt:NAME");
        }
        if (options.Means == CaptureMeans.Qemu)
            return null;
        var uri = LibvirtUri.Resolve(options.ConnectUri);
        var monitor = LibvirtMonitor.OpenAnywhere(uri, target.Name, anyDriver: true, ct);
        try
        {
            if (Why(monitor, uri, options) is not { } reason)
            {
                monitor.Dispose();
                return null;
            }
            var host = LibvirtCall.Run("asking for the host's name", monitor.Connection.HostName, ct);
            var session = new PortableSession(target, monitor, options, reason) { SharesFiles = host is not null && FirstLabel(host) == FirstLabel(Environment.MachineName) };
            session.Refuse();
            return session;
        }
        catch
        {
            monitor.Dispose();
            throw;
        }
    }

    private static string? Why(LibvirtMonitor monitor, string uri, CaptureOptions options)
    {
        if (options.Means != CaptureMeans.Auto)
            return $"asked for (--means {options.Means.ToString().ToLowerInvariant()})";
        if (monitor.Driver != LibvirtMonitor.QemuDriver)
            return $"the hypervisor is not QEMU (libvirt's {monitor.Driver} driver)";
        return LibvirtUri.RemoteHost(uri) is { } host ? $"QEMU runs on {host}" : QemuProcess.WhyNotReadable(monitor.Uuid);
    }

    private static string FirstLabel(string host) => host.Split('.')[0].ToUpperInvariant();

    private void Refuse()
    {
        if (Description.Encryption is { } technology)
            throw new GuestException(GuestFailure.Encrypted, $"{Target}: guest memory is encrypted by the processor ({technology}), the host sees only ciphertext; make the dump inside the guest");
        if (State == GuestState.Paused
            && StateReason is LibvirtNative.PausedForMigration or LibvirtNative.PausedForSave or LibvirtNative.PausedForDump or LibvirtNative.PausedForSnapshot or LibvirtNative.PausedForStart)
        {
            throw new GuestException(GuestFailure.BadState, $"{Target}: the guest is being saved, dumped, restored or migrated; wait until it is done");
        }
    }

    /// <summary>The state now, by libvirt's word; taints nothing.</summary>
    public (GuestState State, int Reason) StateNow() => LibvirtCall.Run("asking for the state", Monitor.Domain.State, CancellationToken.None);

    /// <summary>Where RAM lies: by QEMU's word where it may be asked, else by libvirt's description and the firmware's tables.</summary>
    public List<PhysicalRange> FindRam(CancellationToken ct)
    {
        if (!IsQemu)
            throw new GuestException(GuestFailure.NotQemu, $"{Target}: {Monitor.Uri} is libvirt's {Monitor.Driver} driver: only QEMU's guests can be looked into without a dump of all their memory");
        if (MayAskMonitor)
        {
            try
            {
                var names = RamBlocks.Names(Monitor, Remarks, ct);
                List<PhysicalRange> ranges = [.. Merge(GuestMemoryMap.RamOf(FlatView.Parse(Monitor.TryHuman("info mtree -f", ct)), names).Select(part => (part.Section.Start, part.Section.Length)))];
                if (ranges.Count > 0)
                    return ranges;
            }
            catch (GuestException e) when (Options.Means == CaptureMeans.Auto && e.Failure is GuestFailure.NoRights or GuestFailure.Libvirt)
            {
                Remarks.Add($"QEMU's monitor could not be asked: {e.Message}");
            }
        }
        return PortableRam.Find(
            Target.ToString(), Description, Options.LowMemory,
            (address, destination) =>
            {
                PeekMemory.FetchNow(Monitor, address, destination);
                return true;
            },
            Remarks, Damage);
    }

    internal static IEnumerable<PhysicalRange> Merge(IEnumerable<(ulong Start, ulong Length)> parts)
    {
        (ulong Start, ulong Length)? open = null;
        foreach (var part in parts)
        {
            if (open is { } before && before.Start + before.Length == part.Start)
            {
                open = (before.Start, before.Length + part.Length);
                continue;
            }
            if (open is { } done)
                yield return new PhysicalRange(new PhysicalAddress(done.Start), done.Length);
            open = part;
        }
        if (open is { } last)
            yield return new PhysicalRange(new PhysicalAddress(last.Start), last.Length);
    }

    /// <summary>Registers where QEMU's monitor may be asked; the guest should stand still.</summary>
    public List<CpuState> ReadCpus(CancellationToken ct)
    {
        if (!MayAskMonitor)
        {
            Remarks.Add("registers are unknown: memory peeks have none (--means monitor asks QEMU, which marks the domain as tainted)");
            return [];
        }
        try
        {
            var cpus = HmpRegisters.Parse(Monitor.TryHuman("info registers -a", ct));
            Remarks.Add(cpus.Count == 0 ? "'info registers -a' gave nothing: registers are unknown" : "registers by 'info registers' alone: KERNEL_GS_BASE, CR8 and MSRs but EFER are unknown");
            return cpus;
        }
        catch (GuestException e) when (e.Failure is GuestFailure.NoRights or GuestFailure.Libvirt)
        {
            Remarks.Add($"registers are unknown, QEMU's monitor could not be asked: {e.Message}");
            return [];
        }
    }

    public ViewOrigin Origin(string format, IReadOnlyList<string> actions) => new()
    {
        Target = Target.ToString(),
        Format = format,
        Producer = Monitor.Driver,
        TakenAt = DateTimeOffset.UtcNow,
        Machine = Description.Machine,
        GuestName = Monitor.DomainName,
        DomainXml = Description.Xml,
        Actions = actions,
        Remarks = [$"read by libvirt's own means: {Reason}", .. Remarks, .. Monitor.Remarks],
        Damage = Damage,
    };

    public void Dispose() => Monitor.Dispose();
}
