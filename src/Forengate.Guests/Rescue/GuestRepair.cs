using System.Globalization;

namespace Forengate.Guests;

/// <summary>
/// Repairs a guest that a capture, ours or another's, left stuck: memory that stayed write-protected, migration settings that break the next save, a crash action that a guard held
/// and never put back, a guest that nobody continued.
/// Touches nothing while a migration or snapshot is at work.
/// </summary>
public static class GuestRepair
{
    /// <summary>QEMU's run state of a guest whose panic stopped it (qapi/run-state.json).</summary>
    private const string Crashed = "guest-panicked";

    /// <summary>Looks at the guest and repairs it.</summary>
    /// <param name="target">The guest.</param>
    /// <param name="options">What may be done.</param>
    /// <param name="ct">Ends the waiting for the monitor.</param>
    /// <exception cref="GuestException">One line: what failed, on what, what to try.</exception>
    public static RepairReport Run(GuestTarget target, RepairOptions options, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        IGuestMonitor? monitor = null;
        try
        {
            monitor = target.Kind == GuestTargetKind.Libvirt
                ? LibvirtMonitor.Open(LibvirtUri.Resolve(options.ConnectUri), target.Name, ct)
                : QmpMonitor.Open(target.Name, ct);
            using var process = monitor is LibvirtMonitor libvirt ? QemuProcess.Of(libvirt, ct) : QemuProcess.Of((QmpMonitor)monitor, ct);
            return Run(target, monitor, process.Id, options, ct);
        }
        catch (QmpRefusedException e)
        {
            throw new GuestException(GuestFailure.MonitorFailed, $"{target}: {e.Message}", e);
        }
        finally
        {
            monitor?.Dispose();
        }
    }

    private static RepairReport Run(GuestTarget target, IGuestMonitor monitor, int pid, RepairOptions options, CancellationToken ct)
    {
        var report = new RepairReport(target.ToString(), pid);
        var migration = monitor.TryQmp("query-migrate", null, ct)?.Text("status") ?? "none";
        if (MonitorCommands.IsAtWork(migration))
        {
            report.Found.Add($"a migration, save or snapshot is at work ({migration}): nothing was touched; wait for its end, or cancel it first and run this again");
            return report with { Busy = true, IsLeft = true };
        }
        if (Unprotect(report, pid, SnapshotFacts.QemuVersion(monitor, ct), options))
            Heal(report, monitor, pid, ct);
        ResetCapability(report, monitor, options, ct);
        CrashAction? wanted = monitor is LibvirtMonitor libvirt ? HoldRepair.Run(report, libvirt, options, ct) : null;
        Resume(report, monitor, wanted, options, ct);
        return report;
    }

    private static bool Unprotect(RepairReport report, int pid, Version? qemu, RepairOptions options)
    {
        List<(ulong Start, ulong Length)> ranges;
        try
        {
            ranges = WriteProtection.LeftIn(pid, qemu);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or (IOException and not GuestException))
        {
            throw new GuestException(GuestFailure.NoRights, $"the memory map of QEMU (process {pid}) can't be read: {e.Message}; run as root, or give the program CAP_SYS_PTRACE", e);
        }
        if (ranges.Count == 0)
            return false;
        var bytes = ranges.Aggregate(0UL, (sum, range) => sum + range.Length);
        report.Found.Add(string.Create(CultureInfo.InvariantCulture,
            $"{bytes >> 20} MiB of guest memory are write-protected by a snapshot that ended, {WriteProtection.WaitingThreads(pid)} threads of QEMU wait for it"));
        if (options.OnlyLook)
        {
            report.IsLeft = true;
            return false;
        }
        report.Done.Add($"lifted the write protection of {WriteProtection.Lift(pid) >> 20} MiB");
        return true;
    }

    /// <summary>
    /// QEMU itself still believes its memory protected, and would fail the next save or migration over it. A snapshot that is read to its end, to no purpose but this, makes it
    /// forget.
    /// </summary>
    private static void Heal(RepairReport report, IGuestMonitor monitor, int pid, CancellationToken ct)
    {
        var failure = "";
        for (var attempt = 0; attempt < SnapshotRescue.Attempts; attempt++)
        {
            try
            {
                var (reading, writing) = SnapshotStream.MakePipe();
                using var stream = SnapshotStream.Start(monitor, MigrationSettings.Read(monitor), reading, writing, ct);
                stream.Finish();
                report.Done.Add("made a snapshot and threw it away, so that QEMU can save and migrate the guest again");
                if (stream.Leftover is { } leftover)
                    Leave(report, leftover);
                return;
            }
            catch (Exception e) when (e is QmpRefusedException or GuestException)
            {
                failure = e.Message;
                // One that failed has left the memory protected again, and one that was refused has not.
                if (WriteProtection.Lift(pid) == 0)
                    break;
            }
        }
        Leave(report, SnapshotRescue.Unhealed(failure));
    }

    private static void ResetCapability(RepairReport report, IGuestMonitor monitor, RepairOptions options, CancellationToken ct)
    {
        if (monitor.TryQmp("query-migrate-capabilities", null, ct) is not { } capabilities
            || !capabilities.Items().Any(item => item.Text("capability") == MigrationSettings.Snapshot && item.Truth("state") == true))
            return;
        report.Found.Add($"the migration capability {MigrationSettings.Snapshot} is switched on, with which the next save or migration of the guest hangs");
        if (options.OnlyLook)
        {
            report.IsLeft = true;
            return;
        }
        MigrationSettings.SetCapability((command, arguments) => monitor.Qmp(command, arguments, ct), MigrationSettings.Snapshot, false);
        report.Done.Add($"switched {MigrationSettings.Snapshot} off");
    }

    private static void Resume(RepairReport report, IGuestMonitor monitor, CrashAction? wanted, RepairOptions options, CancellationToken ct)
    {
        var state = monitor.QueryState(ct);
        if (state.Running)
            return;
        if (state.Status == Crashed)
        {
            Leave(report, $"the guest has crashed and stands still ({state.Status}); it is not continued: {WayOut(report.Target, monitor, wanted)}");
            return;
        }
        report.Found.Add($"the guest stands still ({state.Status})");
        if (options.OnlyLook || !options.Resume)
        {
            report.IsLeft = true;
            return;
        }
        if (state.Status is not ("paused" or "suspended" or "postmigrate" or "finish-migrate" or "save-vm"))
        {
            Leave(report, $"a guest that is {state.Status} can't simply be continued: ask its administrator");
            return;
        }
        monitor.Continue();
        report.Done.Add("continued the guest");
    }

    /// <summary>What was held back, for whoever has to do it now.</summary>
    private static string WayOut(string target, IGuestMonitor monitor, CrashAction? wanted)
    {
        var first = $"dump it where that was not done ('forengate dump {target} FILE.dmp'), then ";
        return monitor is not LibvirtMonitor { DomainName: var name } ? first + "end it ('quit' on its monitor) or start it anew ('system_reset', then 'cont')"
            : wanted switch
            {
                CrashAction.Destroy or CrashAction.CoredumpDestroy => $"{first}do what its on_crash ({CrashSetting.NameOf(wanted.Value)}) asks for: 'virsh destroy {name}'",
                CrashAction.Restart or CrashAction.RenameRestart or CrashAction.CoredumpRestart =>
                    $"{first}do what its on_crash ({CrashSetting.NameOf(wanted.Value)}) asks for: 'virsh reset {name}', then 'virsh resume {name}'",
                _ => $"{first}'virsh destroy {name}', or 'virsh reset {name}' and 'virsh resume {name}'; its on_crash (preserve) asks for neither",
            };
    }

    private static void Leave(RepairReport report, string what)
    {
        report.Found.Add(what);
        report.IsLeft = true;
    }
}
