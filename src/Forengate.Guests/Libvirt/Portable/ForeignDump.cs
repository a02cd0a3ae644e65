using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// A guest of another hypervisor than QEMU, by the core that libvirt's driver of it writes (Xen, VirtualBox): a file, because such cores are not written from front to back, read by the image
/// formats that are known. Only where the daemon is on this host.
/// </summary>
internal static class ForeignDump
{
    /// <exception cref="GuestException">The driver makes no core, or none that is known.</exception>
    public static View Take(PortableSession session, CancellationToken ct)
    {
        var driver = session.Monitor.Driver;
        if (!session.SharesFiles)
            throw new GuestException(GuestFailure.Remote, $"{session.Target}: libvirt's {driver} driver writes a core on its own host, which is another one; run forengate there");
        var folder = Directory.CreateTempSubdirectory("forengate-core-").FullName;
        try
        {
            // As for a pipe: the daemon reaches it, nobody can list it.
            LinuxNative.ChangeMode(folder, 0b111_001_001);
            var path = Path.Combine(folder, "core");
            File.WriteAllBytes(path, []);
            LinuxNative.ChangeMode(path, 0b110_010_010);
            using (new LeaseOf(session))
                LibvirtCall.Run("dumping memory", () => { session.Monitor.Domain.DumpWhole(path); return true; }, ct, LeaseOf.Deadline);
            return Open(session, path);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new GuestException(GuestFailure.NoRights, $"{session.Target}: the core that libvirt's {driver} driver wrote can't be read: {e.Message}", e);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static View Open(PortableSession session, string path)
    {
        try
        {
            // The view maps the file: it may lose its name.
            var core = ImageReader.Open(path);
            if (core.Origin.Format.StartsWith("raw", StringComparison.OrdinalIgnoreCase))
            {
                core.Dispose();
                throw new ImageFormatException("it is of no format that is known");
            }
            session.Remarks.AddRange(core.Origin.Remarks);
            session.Damage.AddRange(core.Origin.Damage);
            var view = new View(core.Memory, core.Cpus, core.Consistency, session.Origin($"live guest, by libvirt's dump ({core.Origin.Format})", ["libvirt's dump"]), core);
            session.Dispose();
            return view;
        }
        catch (ImageFormatException e)
        {
            throw new GuestException(
                GuestFailure.NotQemu,
                $"{session.Target}: libvirt's {session.Monitor.Driver} driver gives no memory that can be read here: {e.Message.Replace(path, "its core", StringComparison.Ordinal)}", e);
        }
    }

    /// <summary>The driver lets the guest run when its dump ends; when we end before, the watchdog sees to it.</summary>
    private sealed class LeaseOf : IDisposable
    {
        public static readonly TimeSpan Deadline = TimeSpan.FromMinutes(30);

        private readonly WatchdogLease _lease;

        public LeaseOf(PortableSession session)
        {
            _lease = WatchdogLease.Start(session.Options.Watchdog!, session.Monitor);
            if (session.Running)
                _lease.Arm(Deadline);
        }

        public void Dispose()
        {
            _lease.Disarm();
            _lease.Dispose();
        }
    }
}
