using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;
using K = Forengate.Windows.DebuggerDataField;

namespace Forengate.Dumps;

/// <summary>
/// What a small dump of a system holds: the processor that matters with its process, thread and stack, the drivers, KDBG, and the pieces of memory that a debugger asks for of all processors.
/// No user memory.
/// </summary>
internal sealed class SmallDumpPlan
{
    /// <summary>Small dumps are small: with this much of the memory of all processors in it, one has some 40 MiB and debuggers still load it at once.</summary>
    private const int RoomForMemory = 32 << 20;

    /// <summary>The largest KPCR, KPRCB, EPROCESS or ETHREAD believed: KDBG's sizes have 16 bits, and the largest of known builds is 0xC000 bytes.</summary>
    private const int MaxStructure = 1 << 16;

    /// <summary>A kernel stack that was not enlarged has 24 KiB, an enlarged one 72 (<c>KERNEL_LARGE_STACK_SIZE</c>, ntddk.h).</summary>
    private const int MaxStack = 72 << 10;

    private const int MaxDrivers = 4096, MaxPath = 1024;

    /// <summary>What a debugger reads at each variable that KDBG names; of NtBuildLab, which is text, more.</summary>
    private const int VariableBytes = 0x40, TextBytes = 0x100;

    /// <summary>What is taken around each address in a register or stop code parameter.</summary>
    private const int Around = 0x100;

    /// <summary>The first of KDBG's 16-bit fields: up to there it holds addresses, from behind its header on.</summary>
    private const int KdbgAddressesEnd = (int)K.OffsetKThreadTeb & ~7;

    private readonly DumpFacts _facts;
    private readonly DebuggerBlock _kdbg;
    private readonly AddressSpace _space;
    private readonly MemoryPieces _pieces;

    private SmallDumpPlan(DumpFacts facts, DebuggerBlock kdbg, PhysicalMemory memory)
    {
        (_facts, _kdbg) = (facts, kdbg);
        _space = new WindowsAddressSpace(memory, facts.Kernel.DirectoryTableBase.Value, facts.Kernel.Levels);
        _pieces = new MemoryPieces(_space, RoomForMemory);
    }

    /// <param name="facts">The system.</param>
    /// <param name="memory">Its memory, with the dump's patches.</param>
    /// <param name="choice">The processor that matters.</param>
    /// <param name="gaps">Gets what the dump should hold and does not.</param>
    /// <param name="ct">Ends it.</param>
    /// <returns>Everything behind the header.</returns>
    /// <exception cref="DumpWriteException">The system lacks what a small dump is made of.</exception>
    public static byte[] Make(DumpFacts facts, PhysicalMemory memory, ProcessorChoice choice, List<string> gaps, CancellationToken ct)
    {
        if (facts.Kdbg is not { } kdbg)
            throw Impossible("KDBG was not found, by which it is read");
        if (choice.Processor is not { } processor)
            throw Impossible("no processor was found");
        return new SmallDumpPlan(facts, kdbg, memory).Make(processor, gaps, ct);
    }

    private byte[] Make(Processor crashed, List<string> gaps, CancellationToken ct)
    {
        var prcb = Structure(crashed.Kprcb, K.SizePrcb) ?? throw Impossible($"the KPRCB of processor {crashed.Number} is not in memory");
        if (crashed.CurrentThread is not { } threadAt || Structure(threadAt, K.SizeEThread) is not { } thread)
            throw Impossible($"the thread of processor {crashed.Number} is not in memory");
        // The dump's readers take the process that ApcState names: the address space the thread runs in.
        if (crashed.CurrentProcess is not { } processAt || Structure(processAt, K.SizeEProcess) is not { } process)
            throw Impossible($"the process of processor {crashed.Number} is not in memory");

        var (stackAt, stack) = Stack(crashed, thread);
        if (stack.Length == 0)
            gaps.Add($"the kernel stack of processor {crashed.Number} is not in memory");
        WantVariables();
        WantRegisters(crashed);
        foreach (var processor in _facts.Processors.OrderBy(processor => processor != crashed))
        {
            ct.ThrowIfCancellationRequested();
            WantProcessor(processor);
        }
        var blocks = _pieces.Read();
        if (_pieces.Refused != 0)
            gaps.Add($"{_pieces.Refused} bytes of processors' memory were left out: a small dump has room for {RoomForMemory >> 20} MiB");
        return TriageWriter.Make(new TriageParts
        {
            Prcb = prcb,
            Process = process,
            Thread = thread,
            StackTop = stackAt,
            Stack = stack,
            Kdbg = _kdbg.Bytes,
            Drivers = Drivers(gaps, ct),
            Unloaded = _kdbg.Pointer(K.MmUnloadedDrivers) is { } list && _kdbg.Pointer(K.MmLastUnloadedDriver) is { } last ? UnloadedDriverList.Read(_space, list, last) : [],
            Blocks = blocks,
        });
    }

    private byte[]? Structure(VirtualAddress at, K size)
    {
        var bytes = new byte[_kdbg.Word(size)];
        return bytes.Length != 0 && at.IsKernel && _space.TryRead(at, bytes) ? bytes : null;
    }

    /// <summary>From the stack pointer to the stack's end; of a processor in user mode what its thread left there as it last slept, for its kernel stack is empty.</summary>
    private (VirtualAddress Top, byte[] Bytes) Stack(Processor processor, byte[]? thread)
    {
        if (thread is null || Field(thread, K.OffsetKThreadInitialStack) is not { } end || !new VirtualAddress(end).IsKernel)
            return (default, []);
        var top = processor.Cpu?.Rsp is { } rsp && end - rsp <= MaxStack ? rsp : Field(thread, K.OffsetKThreadKernelStack) is { } saved && end - saved <= MaxStack ? saved : end - Page.Size;
        if (top >= end)
            top = end - Page.Size;
        var bytes = new byte[end - top];
        var got = _space.Read(new VirtualAddress(top), bytes);
        return (new VirtualAddress(top), bytes[..got]);
    }

    private ulong? Field(byte[] structure, K offset) =>
        _kdbg.Word(offset) is not 0 and var at && at + sizeof(ulong) <= structure.Length ? BinaryPrimitives.ReadUInt64LittleEndian(structure.AsSpan(at)) : null;

    private void WantVariables()
    {
        _pieces.Want(DebuggerEye.SharedDataAddress, Page.Size);
        for (var at = (int)K.KernBase; at < KdbgAddressesEnd; at += sizeof(ulong))
        {
            if (_kdbg.Pointer((K)at) is { } variable)
                _pieces.Want(variable, (K)at == K.NtBuildLab ? TextBytes : VariableBytes);
        }
        if (_kdbg.Pointer(K.KernBase) is { } kernel)
            _pieces.Want(kernel, Page.Size);
        if (_kdbg.Pointer(K.KiProcessorBlock) is { } block)
            _pieces.Want(block, _facts.Processors.Count * sizeof(ulong));
        if (_kdbg.FlagAddress is { } flag)
            _pieces.Want(flag, 1);
    }

    private void WantRegisters(Processor processor)
    {
        if (processor.Cpu is { } cpu)
        {
            foreach (var register in (ReadOnlySpan<ulong?>)
                [cpu.Rip, cpu.Rax, cpu.Rbx, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi, cpu.Rbp, cpu.R8, cpu.R9, cpu.R10, cpu.R11, cpu.R12, cpu.R13, cpu.R14, cpu.R15])
                WantAround(register);
        }
        foreach (var parameter in (ReadOnlySpan<ulong?>)[_facts.BugCheck?.Parameter1, _facts.BugCheck?.Parameter2, _facts.BugCheck?.Parameter3, _facts.BugCheck?.Parameter4])
            WantAround(parameter);
    }

    private void WantAround(ulong? address)
    {
        if (address is { } at && new VirtualAddress(at).IsKernel && at > Around)
            _pieces.Want(new VirtualAddress(at - (Around / 2)), Around);
    }

    private void WantProcessor(Processor processor)
    {
        var size = _kdbg.Word(K.OffsetPcrContainedPrcb) + _kdbg.Word(K.SizePrcb);
        if (size is 0 or > MaxStructure || processor.Kprcb - processor.Kpcr >= MaxStructure)
            size = _kdbg.Word(K.SizePrcb);
        _pieces.Want(processor.Kpcr, size);
        _pieces.Want(processor.Kprcb, _kdbg.Word(K.SizePrcb));
        if (processor.Context is { } context)
            _pieces.Want(context, Amd64ContextLayout.Size);
        if (processor.Cpu?.Gdtr is { } gdt)
            _pieces.Want(new VirtualAddress(gdt.Base), (int)Math.Min(gdt.Limit, ushort.MaxValue) + 1);
        if (processor.Cpu?.Idtr is { } idt)
            _pieces.Want(new VirtualAddress(idt.Base), (int)Math.Min(idt.Limit, ushort.MaxValue) + 1);
        if (processor.CurrentThread is { } thread)
        {
            _pieces.Want(thread, _kdbg.Word(K.SizeEThread));
            var (top, stack) = Stack(processor, Structure(thread, K.SizeEThread));
            _pieces.Want(top, stack.Length);
        }
        if (processor.CurrentProcess is { } process)
            _pieces.Want(process, _kdbg.Word(K.SizeEProcess));
        WantAround(processor.Cpu?.Rip);
    }

    private List<(Driver, uint)> Drivers(List<string> gaps, CancellationToken ct)
    {
        var all = _facts.Drivers(ct);
        if (all.Count == 0)
            gaps.Add("no driver was found: a debugger will know no module");
        if (all.Count > MaxDrivers)
            gaps.Add($"{all.Count - MaxDrivers} of {all.Count} drivers were left out");
        return [.. all.Take(MaxDrivers).Select(driver => (driver.Path.Length <= MaxPath ? driver : driver with { Path = driver.Path[..MaxPath] }, CheckSum(driver)))];
    }

    /// <summary>CheckSum in the image's optional header (PE/COFF specification); 0 where its page is gone.</summary>
    private uint CheckSum(Driver driver)
    {
        const int NewHeaderAt = 0x3C, CheckSumAt = 0x18 + 0x40, MaxNewHeader = 0x1000;
        return _space.TryRead(driver.Base + NewHeaderAt, out uint header) && header < MaxNewHeader && _space.TryRead(driver.Base + header + CheckSumAt, out uint sum) ? sum : 0;
    }

    private static DumpWriteException Impossible(string why) => new($"no small dump can be made: {why}; write --type kernel");
}
