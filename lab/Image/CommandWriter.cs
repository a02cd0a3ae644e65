using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// Writes the command table: for each spare process one command that links it in and one that ends it, and one to end each of a few running ones.
/// </summary>
internal sealed class CommandWriter(KernelTables tables, AddressSpace space, KernelPool pool, KernelImage kernel, HandleTables handles, IReadOnlyDictionary<uint, ulong> idEntries)
{
    private const int RunningOnes = 4;
    private readonly List<(uint Kind, ulong Entry, List<(ulong Va, ulong Value)> Writes)> _entries = [];
    private readonly List<GuestCommand> _commands = [];

    public (ulong Table, IReadOnlyList<GuestCommand> Commands) Write(IReadOnlyList<TwinProcess> processes, IReadOnlySet<uint> busy)
    {
        foreach (var process in processes.Where(p => p.Plan.State == ProcessState.Spare))
        {
            Spawn(process);
            Exit(process);
        }
        foreach (var process in processes.Where(p => p.Plan is { State: ProcessState.Running, Minimal: false } && p.Plan.Pid > 4 && !busy.Contains(p.Plan.Pid)).TakeLast(RunningOnes))
            Exit(process);
        var size = CommandTable.HeaderSize + _entries.Count * CommandTable.EntrySize;
        var table = pool.AllocatePages(size);
        space.WriteU32(table, CommandTable.Magic);
        space.WriteU32(table + 4, (uint)_entries.Count);
        for (var i = 0; i < _entries.Count; i++)
        {
            var (kind, entry, writes) = _entries[i];
            var list = pool.Allocate("TwCm", Math.Max(1, writes.Count) * 16);
            for (var w = 0; w < writes.Count; w++)
            {
                space.WriteU64(list + (ulong)w * 16, writes[w].Va);
                space.WriteU64(list + (ulong)w * 16 + 8, writes[w].Value);
            }
            var at = table + CommandTable.HeaderSize + (ulong)i * CommandTable.EntrySize;
            space.WriteU32(at, kind);
            space.WriteU32(at + 4, (uint)writes.Count);
            space.WriteU64(at + 8, kernel.AddressOf("PsActiveProcessHead"));
            space.WriteU64(at + 16, entry);
            space.WriteU64(at + 24, list);
        }
        return (table, _commands);
    }

    private void Spawn(TwinProcess process)
    {
        var writes = new List<(ulong, ulong)>();
        foreach (var (id, address) in process.Threads.Select(t => (t.Tid, t.Ethread)).Prepend((process.Plan.Pid, process.Eprocess)))
        {
            if (idEntries.TryGetValue(id, out var entry))
                writes.Add((entry, handles.EntryValue(address)));
        }
        Add(CommandTable.InsertAtTail, "spawn", process, 0, writes);
    }

    private void Exit(TwinProcess process)
    {
        var exit = TwinClock.Now + 10_000_000UL * (ulong)(_commands.Count + 1);
        var writes = new List<(ulong, ulong)>
        {
            (process.Eprocess + Offset("ExitTime"), exit),
            Patch(process.Eprocess + Offset("ActiveThreads"), 0),
            Patch(process.Eprocess + Offset("ExitStatus"), 0),
            Patch(process.Eprocess + Offset("Pcb.Header.SignalState"), 1),
            (process.Eprocess + Offset("Peb"), 0),
            (process.Eprocess + Offset("ObjectTable"), 0),
        };
        Add(CommandTable.Remove, "exit", process, exit, writes);
    }

    private void Add(uint kind, string action, TwinProcess process, ulong exit, List<(ulong, ulong)> writes)
    {
        _commands.Add(new GuestCommand(_entries.Count, action, process, exit));
        _entries.Add((kind, process.ActiveProcessLinks, writes));
    }

    /// <summary>A qword write that changes only the first four bytes at an address.</summary>
    private (ulong, ulong) Patch(ulong va, uint value) => (va, space.ReadU64(va) & 0xFFFFFFFF_00000000 | value);

    private ulong Offset(string path) => (ulong)tables.OffsetOf("_EPROCESS", path);
}
