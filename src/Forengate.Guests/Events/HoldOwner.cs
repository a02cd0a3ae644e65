using System.Globalization;
using System.Runtime.InteropServices;
using System.Xml.Linq;

namespace Forengate.Guests;

/// <summary>Whether the guard that holds a guest's on_crash is still there.</summary>
internal enum OwnerStanding
{
    /// <summary>It runs.</summary>
    Lives,

    /// <summary>It has ended without putting the setting back.</summary>
    Gone,

    /// <summary>Its boot is another one: the note came with a saved or migrated guest, and no process of this host wrote it.</summary>
    Elsewhere,

    /// <summary>It can't be seen from here: another container's process, a /proc that hides others, a note without an owner.</summary>
    Unknown,
}

/// <summary>A guard, as its note in a domain's metadata names it.</summary>
/// <param name="Boot">The kernel's boot id (random(4)): another one after each start of a host, and of each host.</param>
/// <param name="Space">Inode of the process's PID namespace: numbers mean something in there only.</param>
/// <param name="ProcessId">The guard's process.</param>
/// <param name="StartTime">In clock ticks since the host's start: numbers are used again, this tells whose it is.</param>
internal sealed record HoldOwner(string Boot, string Space, int ProcessId, ulong StartTime)
{
    private const string BootAttribute = "boot";
    private const string SpaceAttribute = "pid_namespace";
    private const string ProcessAttribute = "pid";
    private const string StartAttribute = "start";

    private static readonly string s_boot = FirstLine("/proc/sys/kernel/random/boot_id");

    private static readonly string s_space = new FileInfo("/proc/self/ns/pid").LinkTarget ?? "";

    /// <summary>Ourselves.</summary>
    public static HoldOwner Self { get; } = Of(Environment.ProcessId);

    public bool IsSelf => this == Self;

    /// <summary>A process of this host; its start is 0 when it is none.</summary>
    public static HoldOwner Of(int pid) => new(s_boot, s_space, pid, ProcessStat.Read($"/proc/{pid}")?.StartTime ?? 0);

    /// <summary>Null where the note names none, or not wholly: whatever wrote it, it was no guard that we know.</summary>
    public static HoldOwner? Read(XElement note)
    {
        string? Text(string attribute) => note.Attribute(attribute)?.Value;
        return Text(BootAttribute) is { } boot && Text(SpaceAttribute) is { } space
            && int.TryParse(Text(ProcessAttribute), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) && pid > 0
            && ulong.TryParse(Text(StartAttribute), NumberStyles.None, CultureInfo.InvariantCulture, out var start) ? new HoldOwner(boot, space, pid, start) : null;
    }

    /// <summary>As attributes of the note.</summary>
    public IEnumerable<XAttribute> Write() =>
        [new(BootAttribute, Boot), new(SpaceAttribute, Space), new(ProcessAttribute, ProcessId), new(StartAttribute, StartTime)];

    /// <summary>Looks whether it still runs. Does not block.</summary>
    public OwnerStanding Look()
    {
        if (Boot != s_boot)
            return OwnerStanding.Elsewhere;
        if (Space != s_space)
            return OwnerStanding.Unknown;
        using var process = new Descriptor(LinuxNative.OpenProcess(ProcessId));
        if (process.IsInvalid)
            return Marshal.GetLastPInvokeError() == LinuxNative.ESRCH ? OwnerStanding.Gone : OwnerStanding.Unknown;
        // Another process that was given the number since, or one that has ended and that nobody has waited for.
        return ProcessStat.Read($"/proc/{ProcessId}") is not { } stat ? OwnerStanding.Unknown
            : stat.StartTime == StartTime && !stat.HasEnded ? OwnerStanding.Lives : OwnerStanding.Gone;
    }

    public override string ToString() => $"guard (process {ProcessId})";

    private static string FirstLine(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
