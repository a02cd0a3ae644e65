using Forengate.Dumps;
using Forengate.Engine;
using Forengate.Guests;
using Forengate.Windows;

namespace Forengate.Cli.Output;

/// <summary>The columns of every listing. JSON and CSV field names here are promises: add, never rename.</summary>
internal static class Tables
{
    public static readonly Column<Process>[] Processes =
    [
        new("PID", "pid", p => Cell.Number((long)p.Id)),
        new("PARENT", "parentPid", p => Cell.Number((long)p.ParentId)),
        new("NAME", "name", p => Cell.Text(p.Name)),
        new("SESSION", "session", p => Cell.Number(p.SessionId)),
        new("THREADS", "threads", p => Cell.Number(p.ThreadCount)),
        new("WOW64", "wow64", p => Cell.Boolean(p.IsWow64)),
        new("CREATED", "createTime", p => Cell.Time(p.CreateTime)),
        new("EXITED", "exitTime", p => Cell.Time(p.ExitTime)),
        new("DTB", "dtb", p => Cell.Address(p.DirectoryTableBase)),
        new(null, "userDtb", p => Cell.Address(p.UserDirectoryTableBase)),
        new("EPROCESS", "eprocess", p => Cell.Address(p.Address.Value)),
        new(null, "eprocessPhysical", p => Cell.Address(p.PhysicalAddress?.Value)),
        new(null, "peb", p => Cell.Address(p.Peb?.Value)),
        new("FOUND", "foundBy", p => Cell.Text(HowFound(p.FoundBy))),
        new("STATE", "state", p => Cell.Text(StateOf(p))),
        new(null, "listed", p => Cell.Boolean(p.IsListed)),
        new(null, "exited", p => Cell.Boolean(p.HasExited)),
        new(null, "imagePath", p => Cell.Text(p.ImagePath)),
        new("COMMAND LINE", "commandLine", p => Cell.Text(p.CommandLine)),
    ];

    public static readonly Column<Driver>[] Drivers =
    [
        new("BASE", "base", d => Cell.Address(d.Base.Value)),
        new("SIZE", "size", d => Cell.Number(d.Size)),
        new("NAME", "name", d => Cell.Text(d.Name)),
        new(null, "entryPoint", d => Cell.Address(d.EntryPoint?.Value)),
        new(null, "entry", d => Cell.Address(d.Address.Value)),
        new("FOUND", "foundBy", d => Cell.Text(HowFound(d.FoundBy))),
        new("STATE", "state", d => Cell.Text(d.IsListed ? "" : "hidden")),
        new(null, "listed", d => Cell.Boolean(d.IsListed)),
        new(null, "timeDateStamp", d => Cell.Number(d.TimeDateStamp)),
        new("SYMBOLS", "symbols", d => Cell.Text(d.CodeView?.ToString())),
        new("PATH", "path", d => Cell.Text(d.Path)),
    ];

    public static readonly Column<SurveyedGuest>[] Guests =
    [
        new("NAME", "name", g => Cell.Text(g.Guest.Name)),
        new("STATE", "state", g => Cell.Text(StateName(g.Guest.State))),
        new("MEMORY", "memoryMiB", g => Cell.Number((long)(g.Guest.Memory >> 20))),
        new("MAX", "maxMemoryMiB", g => Cell.Number((long)(Math.Max(g.Guest.MemoryFacts?.Maximum ?? 0, g.Guest.MaxMemory) >> 20))),
        new("PLUGGED", "pluggedMiB", g => Cell.Number(g.Guest.MemoryFacts is { } memory ? (long)(memory.Plugged >> 20) : null)),
        new("BACKEND", "backend", g => Cell.Text(g.Guest.MemoryFacts is { } memory ? memory.Backend : null)),
        new("NUMA", "numaNodes", g => Cell.Number(g.Guest.MemoryFacts?.NumaNodes)),
        new("CPUS", "cpus", g => Cell.Number(g.Guest.VirtualCpus)),
        new("ID", "id", g => Cell.Number(g.Guest.Id)),
        new("WINDOWS", "windows", g => Cell.Text(g.Windows)),
        new("PLAN", "plan", g => Cell.Text(g.Plan is { } plan ? PlanText.NameOf(plan.Mode) : g.Access?.Needs is null ? null : "unknown")),
        new(null, "planReason", g => Cell.Text(g.Plan?.Reason)),
        new(null, "planSource", g => Cell.Text(g.Plan is null ? null : g.PlanWasAsked ? "asked" : "expected")),
        new(null, "monitorNeeds", g => Cell.Text(g.Access?.MonitorNeeds)),
        new(null, "memoryNeeds", g => Cell.Text(g.Access?.MemoryNeeds)),
        new("PID", "pid", g => Cell.Number(g.Access?.ProcessId)),
        new(null, "uuid", g => Cell.Text(g.Guest.Uuid == Guid.Empty ? null : g.Guest.Uuid.ToString("D"))),
        new("TARGET", "target", g => Cell.Text(g.Guest.Target)),
    ];

    public static readonly Column<Fact>[] Facts =
    [
        new("FACT", "name", f => Cell.Text(f.Name)),
        new("VALUE", "value", f => Cell.Text(f.Value)),
        new("HOW", "how", f => Cell.Text(f.How)),
    ];

    public static readonly Column<CheckFinding>[] Findings =
    [
        new("SEVERITY", "severity", f => Cell.Text(SeverityName(f.Severity))),
        new("CODE", "code", f => Cell.Text(f.Code)),
        new("TEXT", "text", f => Cell.Text(f.Text)),
    ];

    public static string SeverityName(CheckSeverity severity) => severity switch
    {
        CheckSeverity.Note => "note",
        CheckSeverity.Warning => "warning",
        _ => "error",
    };

    private static string StateName(GuestState state) => state switch
    {
        GuestState.Running => "running",
        GuestState.Blocked => "blocked",
        GuestState.Paused => "paused",
        GuestState.ShuttingDown => "shutting down",
        GuestState.ShutOff => "shut off",
        GuestState.Crashed => "crashed",
        GuestState.Suspended => "suspended",
        _ => "unknown",
    };

    private static string HowFound(FoundBy by) => by switch { FoundBy.List => "list", _ => "scan" };

    private static string StateOf(Process process) => (process.HasExited, process.IsListed) switch
    {
        (true, true) => "exited, listed",
        (true, false) => "exited",
        (false, true) => "",
        (false, false) => "hidden",
    };
}
