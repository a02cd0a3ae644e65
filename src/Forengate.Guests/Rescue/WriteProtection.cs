using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// The write protection that a background snapshot puts on a guest's memory (userfaultfd, Linux 5.7), as seen and lifted from outside. A QEMU before 8.1 whose snapshot was cancelled
/// or failed leaves it on: every vCPU that writes waits for ever, and QEMU does not even end on SIGTERM.
/// </summary>
internal static unsafe class WriteProtection
{
    private const string UserFaultLink = "anon_inode:[userfaultfd]";

    /// <summary>smaps(5), VmFlags: "uw" is a range tracked for writes by a userfaultfd.</summary>
    private const string TrackedFlag = " uw";

    // ioctl numbers of linux/userfaultfd.h: _IOWR(0xAA, 0x06, 24 bytes) and _IOR(0xAA, 0x01, 16 bytes).
    private const nuint WriteProtectRequest = 0xC018_AA06;
    private const nuint UnregisterRequest = 0x8010_AA01;

    /// <summary>Most ranges believed: a guest has a handful of RAM blocks.</summary>
    private const int MostRanges = 1 << 16;

    /// <summary>struct uffdio_writeprotect: a range and a mode, of which 0 lifts the protection and wakes who waits.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Protection
    {
        public ulong Start;
        public ulong Length;
        public ulong Mode;
    }

    /// <summary>Parts of a process's memory that are tracked for writes.</summary>
    /// <exception cref="IOException">The process ended, or its memory map may not be read.</exception>
    public static List<(ulong Start, ulong Length)> RangesOf(int pid)
    {
        var ranges = new List<(ulong, ulong)>();
        ProcessMapping current = default;
        foreach (var line in File.ReadLines($"/proc/{pid}/smaps"))
        {
            if (ProcessMap.TryParse(line, out var mapping))
                current = mapping;
            else if (line.StartsWith("VmFlags:", StringComparison.Ordinal) && (line + " ").Contains(TrackedFlag + " ", StringComparison.Ordinal) && ranges.Count < MostRanges)
                ranges.Add((current.Start, current.End - current.Start));
        }
        return ranges;
    }

    /// <summary>Those that stay when a snapshot has failed or was cancelled: a QEMU of 8.1 and later lets go of them itself, a moment after it says so.</summary>
    /// <param name="pid">QEMU.</param>
    /// <param name="qemu">Its version; null where that is not known.</param>
    /// <exception cref="IOException">The process ended, or its memory map may not be read.</exception>
    public static List<(ulong Start, ulong Length)> LeftIn(int pid, Version? qemu)
    {
        const int MostMilliseconds = 3000, StepMilliseconds = 50;
        for (var waited = 0; ; waited += StepMilliseconds)
        {
            var ranges = RangesOf(pid);
            if (ranges.Count == 0 || !(qemu >= SnapshotFacts.CancelSafeSince) || waited >= MostMilliseconds)
                return ranges;
            Thread.Sleep(StepMilliseconds);
        }
    }

    /// <summary>Threads of a process that wait for a userfaultfd's owner to let them go on.</summary>
    public static int WaitingThreads(int pid)
    {
        var waiting = 0;
        try
        {
            foreach (var thread in Directory.EnumerateDirectories($"/proc/{pid}/task"))
            {
                if (File.ReadAllText(Path.Combine(thread, "wchan")).Contains("handle_userfault", StringComparison.Ordinal))
                    waiting++;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A thread ended, or the host hides where threads wait: then nothing is known, which is 0.
        }
        return waiting;
    }

    /// <summary>Lifts the protection of every tracked range through the process's own userfaultfd, and ends the tracking.</summary>
    /// <returns>Bytes whose protection was lifted; 0 where there was none.</returns>
    /// <exception cref="GuestException">No right to, or the process has no userfaultfd any more.</exception>
    public static ulong Lift(int pid)
    {
        var ranges = RangesOf(pid);
        if (ranges.Count == 0)
            return 0;
        using var process = new Descriptor(LinuxNative.OpenProcess(pid));
        if (process.IsInvalid)
            throw Failed(pid, "pidfd_open", Marshal.GetLastPInvokeError());
        var lifted = 0UL;
        var error = 0;
        foreach (var number in UserFaultDescriptors(pid))
        {
            using var fault = new Descriptor(LinuxNative.TakeDescriptor(process.Number, number));
            if (fault.IsInvalid)
            {
                error = Marshal.GetLastPInvokeError();
                continue;
            }
            foreach (var (start, length) in ranges)
            {
                var protection = new Protection { Start = start, Length = length };
                // A range of another descriptor's is refused, and is tried with the next one.
                if (LinuxNative.Control(fault.Number, WriteProtectRequest, &protection) == 0)
                    lifted += length;
                else
                    error = Marshal.GetLastPInvokeError();
                _ = LinuxNative.Control(fault.Number, UnregisterRequest, &protection);
            }
        }
        if (lifted == 0)
            throw error == 0
                ? new GuestException(GuestFailure.BadState, $"process {pid} has write-protected memory and no userfaultfd to lift it with: end it and restart the guest")
                : Failed(pid, "lifting the write protection", error);
        return lifted;
    }

    private static List<int> UserFaultDescriptors(int pid)
    {
        var found = new List<int>();
        try
        {
            foreach (var link in Directory.EnumerateFileSystemEntries($"/proc/{pid}/fd"))
            {
                if (new FileInfo(link).LinkTarget == UserFaultLink && int.TryParse(Path.GetFileName(link), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                    found.Add(number);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GuestException(GuestFailure.NoRights, $"the descriptors of process {pid} can't be seen ({e.Message}); run as root, or give the program CAP_SYS_PTRACE", e);
        }
        return found;
    }

    private static GuestException Failed(int pid, string what, int error) => new(
        error is LinuxNative.EPERM or LinuxNative.EACCES ? GuestFailure.NoRights : GuestFailure.BadState,
        $"{what} of process {pid} failed: {LinuxNative.Describe(error)}; run as root, or give the program CAP_SYS_PTRACE");
}
