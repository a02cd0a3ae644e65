using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Lab.Machine;

/// <summary>A process that cannot be confused with a later one of the same number. <paramref name="StartTime"/> is in clock ticks since boot.</summary>
public sealed partial record ProcessIdentity(int Pid, ulong StartTime)
{
    private const int SigTerm = 15, SigKill = 9;
    // Linux x86-64 system-call numbers (arch/x86/entry/syscalls/syscall_64.tbl).
    private const long PidfdSendSignal = 424, PidfdOpen = 434;

    /// <summary>The process that has this number now, or null when there is none or it is dead already.</summary>
    public static ProcessIdentity? Of(int pid) => Stat(pid) is ({ } start, not ('Z' or 'X')) ? new ProcessIdentity(pid, start) : null;

    public bool IsAlive => Of(Pid) == this;

    /// <summary>Ends the process: asked first, then forced. True when it is gone within twice the time given.</summary>
    public bool End(TimeSpan patience)
    {
        // The descriptor pins the process: if it is the right one now, the signal cannot hit another.
        var descriptor = (int)SystemCall(PidfdOpen, Pid, 0, 0, 0);
        if (descriptor < 0)
            return !IsAlive;
        using var handle = new Microsoft.Win32.SafeHandles.SafeFileHandle(descriptor, ownsHandle: true);
        foreach (var signal in new[] { SigTerm, SigKill })
        {
            if (!IsAlive)
                return true;
            _ = SystemCall(PidfdSendSignal, descriptor, signal, 0, 0);
            for (var watch = Stopwatch.StartNew(); watch.Elapsed < patience; Thread.Sleep(5))
            {
                if (!IsAlive)
                    return true;
            }
        }
        return !IsAlive;
    }

    private static (ulong? Start, char State) Stat(int pid)
    {
        try
        {
            // pid (comm) state ppid ...; comm may hold anything, so count from the last parenthesis. Start time is field 22 (proc(5)).
            var text = File.ReadAllText($"/proc/{pid}/stat");
            var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            return (ulong.Parse(fields[22 - 3], CultureInfo.InvariantCulture), fields[0][0]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (null, 'X');
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long SystemCall(long number, long a, long b, long c, long d);
}
