using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// Writes the command table: for each spare process one command that links it in and one that ends it, one to end each of a few running ones, and one that takes new memory into use.
/// </summary>
internal sealed class CommandWriter(KernelTables tables, AddressSpace space, KernelPool pool, KernelImage kernel, HandleTables handles, IReadOnlyDictionary<uint, ulong> idEntries)
{
    private const int RunningOnes = 4;
    private readonly List<(uint Kind, ulong Entry, List<(ulong Va, ulong Value)> Writes)> _entries = [];
    private readonly List<GuestCommand> _commands = [];

    public (ulong Table, IReadOnlyList<GuestCommand> Commands) Write(IReadOnlyList<TwinProcess> processes, IReadOnlySet<uint> busy, MemoryGrowth? growth = null)
    {
        foreach (var process in processes.Where(p => p.Plan.State == ProcessState.Spare))
        {
            Spawn(process);
            Exit(process);
        }
        foreach (var process in processes.Where(p => p.Plan is { State: ProcessState.Running, Minimal: false } && p.Plan.Pid > 4 && !busy.Contains(p.Plan.Pid)).TakeLast(RunningOnes))
            Exit(process);
        if (growth is not null)
        {
            _commands.Add(new GuestCommand(_entries.Count, "grow", null, 0));
            _entries.Add((CommandTable.WriteOnly, 0, [.. growth.Writes]));
        }
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
        var writes = new List<(ulong, ulong)>();
        foreach (var (field, value) in new[] { ("ExitTime", exit), ("Peb", 0UL), ("ObjectTable", 0UL), ("ActiveThreads", 0UL), ("ExitStatus", 0UL), ("Pcb.Header.SignalState", 1UL) })
            writes.Add(Patch(process.Eprocess, field, value, writes));
        Add(CommandTable.Remove, "exit", process, exit, writes);
    }

    private void Add(uint kind, string action, TwinProcess process, ulong exit, List<(ulong, ulong)> writes)
    {
        _commands.Add(new GuestCommand(_entries.Count, action, process, exit));
        _entries.Add((kind, process.ActiveProcessLinks, writes));
    }

    /// <summary>
    /// The guest writes qwords only, so a smaller field goes in with its neighbours: with what they hold, or what the writes before have given them. The qword is the aligned one, which lies in one page.
    /// </summary>
    private (ulong Va, ulong Value) Patch(ulong eprocess, string path, ulong value, List<(ulong Va, ulong Value)> before)
    {
        var field = tables.Field("_EPROCESS", path);
        var va = eprocess + (ulong)field.Offset;
        var start = va & ~7UL;
        var old = before.Where(w => w.Va == start).Select(w => (ulong?)w.Value).LastOrDefault() ?? space.ReadU64(start);
        if (field.Size == 8)
            return (va, value);
        var shift = (int)(va - start) * 8;
        var mask = ((1UL << field.Size * 8) - 1) << shift;
        return (start, old & ~mask | value << shift);
    }
}
