using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>Lays out _ETHREAD with its kernel stack and trap frame.</summary>
internal sealed class ThreadBuilder(ProcessParts parts)
{
    // KTHREAD_STATE: Initialized 0, Ready 1, Running 2, Standby 3, Terminated 4, Waiting 5.
    public const byte Running = 2;
    private const byte Terminated = 4;
    private const byte Waiting = 5;
    private const int StackPages = 6;
    private readonly KernelTables _tables = parts.Tables;

    /// <param name="compact">Only the top page of the stack is in memory, the others are paged out.</param>
    public TwinThread Build(TwinProcess process, uint tid, ulong teb, int index, bool compact)
    {
        var at = parts.Objects.Allocate(_tables.Family < 9200 ? "Thr\xE5" : "Thre", "_ETHREAD", ObjectTypes.Thread);
        var start = parts.Kernel.Base + _tables.Symbol("PspUserThreadStartup");
        if (teb == 0)
            start = parts.Kernel.Base + _tables.Symbol("ExpWorkerThread");
        var created = Math.Min(process.Plan.CreateTime + (ulong)index * 1_234_567, TwinClock.Now);
        return Write(process, at, tid, teb, start, process.ImageBase == 0 ? start : process.ImageBase + 0x1000 + (ulong)index * 0x10, created,
            process.Plan.HasExited ? Terminated : Waiting, compact);
    }

    public TwinThread BuildIdle(TwinProcess idle, int cpu)
    {
        var at = cpu == 0 ? parts.Kernel.AddressOf("KiInitialThread") : parts.Objects.Allocate(_tables.Family < 9200 ? "Thr\xE5" : "Thre", "_ETHREAD", ObjectTypes.Thread);
        var start = parts.Kernel.AddressOf("KiIdleLoop");
        return Write(idle, at, 0, 0, start, start, 0, Running, compact: false);
    }

    /// <summary>Marks a thread as the one that runs on a CPU.</summary>
    public static TwinThread Run(ProcessParts parts, TwinThread thread, uint cpu)
    {
        parts.System.WriteU8(thread.Ethread + (ulong)parts.Tables.OffsetOf("_KTHREAD", "State"), Running);
        parts.System.WriteU32(thread.Ethread + (ulong)parts.Tables.OffsetOf("_KTHREAD", "NextProcessor"), cpu);
        return thread with { State = Running };
    }

    private TwinThread Write(TwinProcess process, ulong address, uint tid, ulong teb, ulong start, ulong win32Start, ulong created, byte state, bool compact)
    {
        var exited = state == Terminated;
        ulong stackBase = 0, limit = 0, initial = 0;
        var at = new StructWriter(_tables, "_ETHREAD", address);
        if (!exited)
        {
            limit = parts.Ptes.Reserve(StackPages);
            stackBase = limit + StackPages * GuestRam.PageSize;
            for (var page = limit; page < stackBase; page += GuestRam.PageSize)
            {
                if (!compact || page + GuestRam.PageSize == stackBase)
                    parts.System.Map(page, parts.System.Memory.AllocatePage(), Pte.KernelData);
                else
                    parts.System.Tables.SetEntry(parts.System.Root, page, (0x4000 + parts.Random.Next(0x4000)) << 32 | 0x80);
            }
            // The extended processor state is kept at the very top: 0x210 bytes of FXSAVE area on 7, an XSAVE area later; both fit into 0x400.
            initial = stackBase - 0x400;
            WriteStack(at, initial, teb, win32Start);
        }
        at.Set("Tcb.Header.Type", 6).EmptyList("Tcb.Header.WaitListHead").Set("Tcb.Header.SignalState", exited ? 1UL : 0).EmptyList("Tcb.MutantListHead");
        at.Set("Tcb.InitialStack", initial).Set("Tcb.StackBase", stackBase).Set("Tcb.StackLimit", limit);
        at.Set("Tcb.State", state).Set("Tcb.WaitReason", state == Waiting ? (teb == 0 ? 15UL : 6) : 0).Set("Tcb.Priority", tid == 0 ? 0UL : 9).Set("Tcb.BasePriority", tid == 0 ? 0UL : 8);
        at.Set("Tcb.Process", process.Eprocess).Set("Tcb.ApcState.Process", process.Eprocess).EmptyList("Tcb.ApcState.ApcListHead[0]").EmptyList("Tcb.ApcState.ApcListHead[1]");
        at.Set("Tcb.Teb", teb).Set("Tcb.PreviousMode", teb == 0 ? 0UL : 1).EmptyList("Tcb.ThreadListEntry").EmptyList("Tcb.WaitListEntry");
        at.Set("Tcb.ContextSwitches", parts.Random.Next(90000)).SetWhere("Tcb.SystemThread", teb == 0 ? 1UL : 0);
        at.Set("Cid.UniqueProcess", process.Plan.Pid).Set("Cid.UniqueThread", tid).Set("CreateTime.QuadPart", created);
        if (exited)
            at.Set("ExitTime.QuadPart", process.Plan.ExitTime);
        else
            at.EmptyList("KeyedWaitChain");
        at.Set("StartAddress", start).Set("Win32StartAddress", win32Start).EmptyList("ThreadListEntry").EmptyList("IrpList");
        // PS_CROSS_THREAD_FLAGS: terminated 1, system thread 0x10 (up to 7), thread inserted 2 (from 8).
        at.Set("CrossThreadFlags", (exited ? 1UL : 0) | (_tables.Family < 9200 ? teb == 0 ? 0x10UL : 0 : 2));
        at.Store(parts.System);
        return new TwinThread
        {
            Tid = tid, Ethread = address, Teb = teb, StackBase = stackBase, StackLimit = limit, InitialStack = initial, StartAddress = start, Win32StartAddress = win32Start, CreateTime = created,
            ExitTime = exited ? process.Plan.ExitTime : 0, State = state,
        };
    }

    /// <summary>A user thread waits in the kernel on top of the trap frame it came in with; any other has been switched out of a wait.</summary>
    private void WriteStack(StructWriter thread, ulong initial, ulong teb, ulong userRip)
    {
        var size = _tables.SizeOf("_KTRAP_FRAME");
        var frame = new StructWriter(_tables, "_KTRAP_FRAME", initial - (ulong)size);
        if (teb != 0)
        {
            frame.Set("Rip", userRip).Set("SegCs", Descriptors.UserCode).Set("SegSs", Descriptors.UserData).Set("EFlags", 0x246).Set("Rsp", (teb & ~0x1FFFFFUL) | 0xEFF58);
            frame.Store(parts.System);
            thread.Set("Tcb.TrapFrame", frame.Address);
        }
        thread.Set("Tcb.KernelStack", frame.Address - 0x200);
        parts.System.WriteU64(frame.Address - 0x200 + 0x38, parts.Kernel.AddressOf("KeWaitForSingleObject"));
    }
}
