using System.Text;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>What processes are built with.</summary>
internal sealed record ProcessParts
{
    public required KernelTables Tables { get; init; }
    public required AddressSpace System { get; init; }
    public required KernelLayout Layout { get; init; }
    public required KernelImage Kernel { get; init; }
    public required KernelPool Pool { get; init; }
    public required SystemPtes Ptes { get; init; }
    public required ObjectTypes Objects { get; init; }
    public required SeededRandom Random { get; init; }
    public required UserSpace User { get; init; }
    public KvaShadow? Shadow { get; init; }
}

/// <summary>Lays out _EPROCESS with all that hangs on it: page tables, user space, threads, token, handle table, VADs.</summary>
internal sealed class ProcessBuilder(ProcessParts parts)
{
    private const ulong Pending = 0x103;
    private readonly KernelTables _tables = parts.Tables;
    private readonly ThreadBuilder _threads = new(parts);
    private readonly HandleTables _handles = new(parts.Tables, parts.System, parts.Pool);
    private readonly Vads _vads = new(parts.Tables, parts.System, parts.Pool);
    private readonly Dictionary<uint, ulong> _tokens = [];
    private readonly Dictionary<uint, ulong> _sessions = [];
    private readonly Dictionary<uint, List<ulong>> _sessionMembers = [];
    private int _built;

    public HandleTables Handles => _handles;

    public TwinProcess Build(ProcessPlan plan, Func<uint> nextTid)
    {
        _built++;
        var isSystem = plan.Pid == 4;
        var root = isSystem ? parts.System.Root : NewRoot();
        var space = new AddressSpace(parts.System.Memory, parts.System.Tables, root);
        var user = plan.HasUserSpace ? parts.User.Build(space, plan) : null;
        ulong dtb = root, userDtb = 0;
        if (parts.Shadow is { } shadow)
        {
            dtb |= KvaShadow.KernelPcid;
            // A process without user space never runs in ring 3: its field names no second table.
            userDtb = user is null ? dtb : shadow.Create(root) | KvaShadow.UserPcid;
        }
        var eprocess = parts.Objects.Allocate(_tables.Family < 9200 ? "Pro\xE3" : "Proc", "_EPROCESS", ObjectTypes.Process);
        var writer = new StructWriter(_tables, "_EPROCESS", eprocess);
        var process = new TwinProcess
        {
            Plan = plan, Eprocess = eprocess, Root = root, Dtb = dtb, UserDtb = userDtb, Peb = user?.Peb ?? 0, Wow64Peb = user?.Wow64Peb ?? 0, ImageBase = user?.ImageBase ?? 0,
            ShortName = ShortName(plan.Name), NativePath = plan.Path.Length == 0 ? "" : @"\Device\HarddiskVolume2" + plan.Path[2..],
            ExitStatus = plan.HasExited ? (uint)parts.Random.Next(3) : (uint)Pending, ActiveProcessLinks = writer.AddressOf("ActiveProcessLinks"),
        };
        FillKernelPart(writer, process);
        FillExecutivePart(writer, process, user);
        writer.Store(parts.System);

        for (var i = 0; i < plan.Threads; i++)
        {
            var teb = user is not null && i < user.Tebs.Count ? user.Tebs[i] : 0;
            var tid = nextTid();
            if (teb != 0)
                parts.User.WriteTeb(space, teb, process.Peb, plan.Pid, tid);
            process.Threads.Add(_threads.Build(process, tid, teb, i, compact: _built > 300));
        }
        // An ended process has no thread in its lists any more; their objects may still be there.
        var alive = plan.HasExited ? [] : process.Threads;
        LinkedRing.Write(parts.System, writer.AddressOf("Pcb.ThreadListHead"), alive.Select(t => t.Ethread + (ulong)_tables.OffsetOf("_ETHREAD", "Tcb.ThreadListEntry")).ToArray());
        LinkedRing.Write(parts.System, writer.AddressOf("ThreadListHead"), alive.Select(t => t.Ethread + (ulong)_tables.OffsetOf("_ETHREAD", "ThreadListEntry")).ToArray());
        return process;
    }

    /// <summary>The idle process: static in the kernel, in no list, with a thread for each CPU.</summary>
    public TwinProcess BuildIdle(ulong dtb, int cpus)
    {
        var plan = new ProcessPlan { Pid = 0, ParentPid = 0, Name = "Idle", Path = "", CommandLine = "", Minimal = true, CreateTime = 0, Threads = cpus };
        var eprocess = parts.Kernel.AddressOf("KiInitialProcess");
        var writer = new StructWriter(_tables, "_EPROCESS", eprocess);
        var process = new TwinProcess
        {
            Plan = plan, Eprocess = eprocess, Root = parts.System.Root, Dtb = dtb, UserDtb = 0, Peb = 0, Wow64Peb = 0, ImageBase = 0, ShortName = "Idle"u8.ToArray(), NativePath = "",
            ExitStatus = (uint)Pending, ActiveProcessLinks = writer.AddressOf("ActiveProcessLinks"),
        };
        FillKernelPart(writer, process);
        FillExecutivePart(writer, process, null);
        writer.Set("Pcb.BasePriority", 0);
        writer.Store(parts.System);
        for (var cpu = 0; cpu < cpus; cpu++)
            process.Threads.Add(_threads.BuildIdle(process, cpu));
        LinkedRing.Write(parts.System, writer.AddressOf("Pcb.ThreadListHead"), process.Threads.Select(t => t.Ethread + (ulong)_tables.OffsetOf("_ETHREAD", "Tcb.ThreadListEntry")).ToArray());
        LinkedRing.Write(parts.System, writer.AddressOf("ThreadListHead"), process.Threads.Select(t => t.Ethread + (ulong)_tables.OffsetOf("_ETHREAD", "ThreadListEntry")).ToArray());
        return process;
    }

    /// <summary>Links what can only be linked when all processes are there: each session's members, and all handle tables.</summary>
    public void Link()
    {
        foreach (var (id, members) in _sessionMembers)
            LinkedRing.Write(parts.System, _sessions[id] + (ulong)_tables.OffsetOf("_MM_SESSION_SPACE", "ProcessList"), members);
        _handles.Link(parts.Kernel.AddressOf("HandleTableListHead"));
    }

    /// <summary>
    /// _DISPATCHER_HEADER.Size of a process: the KPROCESS in dwords. From 19041 on that no longer fits into the byte, and KeInitializeProcess leaves it zero.
    /// </summary>
    public static byte HeaderSize(KernelTables tables) => tables.SizeOf("_KPROCESS") / 4 is <= 0xFF and var size ? (byte)size : (byte)0;

    private void FillKernelPart(StructWriter at, TwinProcess process)
    {
        at.Set("Pcb.Header.Type", 3).Set("Pcb.Header.Size", HeaderSize(_tables)).EmptyList("Pcb.Header.WaitListHead");
        at.Set("Pcb.Header.SignalState", process.Plan.HasExited ? 1UL : 0);
        at.EmptyList("Pcb.ProfileListHead").Set("Pcb.DirectoryTableBase", process.Dtb).EmptyList("Pcb.ThreadListHead").EmptyList("Pcb.ReadyListHead");
        at.Set("Pcb.BasePriority", 8).Set("Pcb.QuantumReset", 6).EmptyList("Pcb.ProcessListEntry");
        at.Set("Pcb.Affinity.Count", 1).Set("Pcb.Affinity.Size", (ulong)(_tables.Family >= 9200 ? 20 : 4)).Set("Pcb.Affinity.Bitmap[0]", ulong.MaxValue);
        at.Set("Pcb.StackCount.Value", (ulong)(process.Plan.HasExited ? 0 : process.Plan.Threads) << 3);
        at.SetWhere("Pcb.UserDirectoryTableBase", process.UserDtb);
        // AddressPolicy 1: never runs in ring 3, keeps one table.
        at.SetWhere("Pcb.AddressPolicy", parts.Shadow is not null && process.Peb == 0 ? 1UL : 0);
    }

    private void FillExecutivePart(StructWriter at, TwinProcess process, UserLayout? user)
    {
        var plan = process.Plan;
        at.Set("UniqueProcessId", plan.Pid).Set("InheritedFromUniqueProcessId", plan.ParentPid).SetWhere("OwnerProcessId", plan.ParentPid == 0 ? 0UL : plan.ParentPid | 2);
        at.EmptyList("ActiveProcessLinks").Set("CreateTime.QuadPart", plan.CreateTime).Set("ExitTime.QuadPart", plan.ExitTime).Set("ExitStatus", process.ExitStatus);
        at.SetBytes("ImageFileName", process.ShortName).Set("PriorityClass", 2);
        at.EmptyList("ThreadListHead").EmptyList("SessionProcessLinks").EmptyList("JobLinks").EmptyList("MmProcessLinks");
        at.Set("ActiveThreads", plan.HasExited ? 0UL : (ulong)plan.Threads).Set("ActiveThreadsHighWatermark", (ulong)plan.Threads);
        at.Set("Peb", process.Peb).Set("SectionBaseAddress", process.ImageBase).Set("Cookie", plan.Minimal ? 0UL : (uint)parts.Random.Next());
        at.SetWhere("SequenceNumber", (ulong)_built).SetWhere("HighestUserAddress", _tables.Family < 9200 ? 0x7FF_FFFF0000UL : 0x7FFF_FFFF0000UL);
        at.Set("Flags", Flags(plan));
        at.SetWhere("Flags3", plan.Minimal ? 1UL : 0);
        at.Set("Token.Value", Token(plan) | 7);
        if (plan.Session is { } session)
        {
            at.Set("Session", Session(session));
            if (plan is { HasExited: false, State: not ProcessState.Spare })
                _sessionMembers[session].Add(at.AddressOf("SessionProcessLinks"));
        }
        if (process.NativePath.Length > 0)
        {
            // SeAuditProcessCreationInfo points to an OBJECT_NAME_INFORMATION with its text behind it.
            var name = parts.Pool.Allocate("SeNm", 16 + process.NativePath.Length * 2 + 2);
            parts.System.WriteU16(name, (ushort)(process.NativePath.Length * 2));
            parts.System.WriteU16(name + 2, (ushort)(process.NativePath.Length * 2 + 2));
            parts.System.WriteU64(name + 8, name + 16);
            parts.System.Write(name + 16, Encoding.Unicode.GetBytes(process.NativePath));
            at.Set("SeAuditProcessCreationInfo.ImageFileName", name);
        }
        if (plan.Wow64)
            SetWow64(at, process);
        if (plan.HasExited)
            return;
        if (plan.Pid != 0)
            at.Set("ObjectTable", _handles.Empty(process.Eprocess, plan.Pid, withPage: _built <= 300));
        if (user is null)
            return;
        var avl = at.Has("VadRoot.BalancedRoot");
        var rootNode = avl ? at.AddressOf("VadRoot.BalancedRoot") : 0;
        var vads = _vads.Build([.. user.PrivateRanges, (UserSpace.SharedUserDataAddress, UserSpace.SharedUserDataAddress + 0x1000)], rootNode);
        if (avl)
            at.Set("VadRoot.BalancedRoot.RightChild", vads).Set("VadRoot.BalancedRoot.u1.Parent", rootNode).Set("VadRoot.NumberGenericTableElements", 3).Set("VadRoot.DepthOfTree", 2);
        else
            at.Set("VadRoot.Root", vads).Set("VadCount", 3);
    }

    private void SetWow64(StructWriter at, TwinProcess process)
    {
        // What the field held stays when a process ends, though the 32-bit PEB is gone; 0x7EFDE000 is where 7 puts the first one.
        var peb32 = process.Wow64Peb != 0 ? process.Wow64Peb : 0x7EFDE000;
        // To 9600 the field is the 32-bit PEB's address itself, from 14393 that of a small block that begins with it.
        if (at.Has("Wow64Process"))
        {
            at.Set("Wow64Process", peb32);
            return;
        }
        var wow = new StructWriter(_tables, "_EWOW64PROCESS", parts.Pool.Allocate("Wow6", _tables.SizeOf("_EWOW64PROCESS")));
        wow.Set("Peb", peb32).SetWhere("Machine", 0x14C).Store(parts.System);
        at.Set("WoW64Process", wow.Address);
    }

    // PS_PROCESS_FLAGS: created 1, exiting 4, deleted 8, VM deleted 0x20, address space initialized 0x400 (value 1 of two bits 10..11 is 2: 0x800), in session 0x10000, has address space 0x40000.
    private static ulong Flags(ProcessPlan plan)
    {
        ulong flags = 0x1 | 0x04000000 | 0x10000000;
        if (plan.HasExited)
            flags |= 0x4 | 0x8 | 0x20;
        else
            flags |= 0x40000 | 0xC00;
        return plan.Session is null ? flags : flags | 0x10000;
    }

    private ulong NewRoot()
    {
        var ram = parts.System.Memory.Ram;
        var root = parts.System.Tables.NewTable();
        ram.Write(root + 0x800, ram.Read(parts.System.Root + 0x800, 0x800));
        ram.WriteU64(root + (ulong)parts.Layout.SelfMap * 8, root | SelfMapFlags(parts.Layout));
        return root;
    }

    public static ulong SelfMapFlags(KernelLayout layout) => layout.Randomized ? Pte.KernelTable & ~Pte.SoftwareWrite | Pte.NoExecute : Pte.KernelTable;

    private ulong Token(ProcessPlan plan)
    {
        var key = plan.Session == 1 ? 1U : 0U;
        if (_tokens.TryGetValue(key, out var token))
            return token;
        var at = new StructWriter(_tables, "_TOKEN", parts.Objects.Allocate("Toke", "_TOKEN", ObjectTypes.Token));
        at.SetBytes("TokenSource.SourceName", key == 1 ? "User32 \0"u8 : "*SYSTEM*"u8);
        // The system's own logon session has LUID 0x3E7 (winnt.h SYSTEM_LUID).
        at.Set("TokenId.LowPart", 0x10000 + key).Set("AuthenticationId.LowPart", key == 1 ? 0x2F1A7UL : 0x3E7).Set("SessionId", key);
        at.Store(parts.System);
        return _tokens[key] = at.Address & ~0xFUL;
    }

    private ulong Session(uint id)
    {
        if (_sessions.TryGetValue(id, out var session))
            return session;
        var size = _tables.SizeOf("_MM_SESSION_SPACE");
        var at = new StructWriter(_tables, "_MM_SESSION_SPACE", parts.Layout.Session + (ulong)_sessions.Count * 0x10000);
        parts.System.MapNew(at.Address, (size + 0xFFF) / 0x1000, Pte.KernelData);
        at.Set("SessionId", id).Set("ReferenceCount", 1).EmptyList("ProcessList");
        at.Store(parts.System);
        _sessionMembers[id] = [];
        return _sessions[id] = at.Address;
    }

    /// <summary>The first 14 bytes of the name in ANSI (here UTF-8 cut off anywhere, as a code page would leave it): what ImageFileName keeps.</summary>
    private static byte[] ShortName(string name)
    {
        // Windows converts to the ANSI code page; what that lacks becomes '?'. The twin's code page is 1252's ASCII part.
        var bytes = new byte[Math.Min(14, name.Length)];
        for (var i = 0; i < bytes.Length; i++)
            bytes[i] = name[i] < 0x80 ? (byte)name[i] : (byte)'?';
        return bytes;
    }
}
