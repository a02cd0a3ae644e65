using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>
/// What a debugger reads of each processor, with KDBG's own offsets: KPRCB, the CONTEXT its pointer leads to, SpecialRegisters, and the descriptor tables they name.
/// </summary>
internal sealed class ProcessorCheck(CrashDumpHeader64Snapshot header, AddressSpace space, DebuggerBlock kdbg, CheckFindings findings)
{
    private const int MaxProcessors = 2048;

    // Limits and selectors of x64 Windows' tables (KGDT64_*, ntddk.h); 256 gates of 16 bytes.
    private const int DescriptorSize = 8, GateSize = 16;
    private const uint IdtLimit = 0xFFF;

    private readonly List<ProcessorEvidence> _evidence = [];

    public IReadOnlyList<CheckedProcessor> Run(CancellationToken ct)
    {
        if (kdbg.Pointer(DebuggerDataField.KiProcessorBlock) is not { } blocks)
        {
            findings.Error(CheckCode.ProcessorBlock, "KDBG names no KiProcessorBlock: a debugger finds no processor");
            return [];
        }
        var count = (int)Math.Min(header.NumberProcessors, MaxProcessors);
        for (var number = 0; number < count; number++)
        {
            ct.ThrowIfCancellationRequested();
            if (!space.TryReadPointer(blocks + (ulong)(number * sizeof(ulong)), out var kprcb))
            {
                findings.Error(CheckCode.ProcessorBlock, $"processor {number}: its entry in KiProcessorBlock cannot be read");
                break;
            }
            if (kprcb.IsNull)
            {
                findings.Error(CheckCode.ProcessorBlock, $"KiProcessorBlock ends after {number} processors, the header says {header.NumberProcessors}");
                break;
            }
            _evidence.Add(Read(number, kprcb));
        }
        if (_evidence.Count == count && count < MaxProcessors && space.TryReadPointer(blocks + (ulong)(count * sizeof(ulong)), out var further) && IsProcessor(further, count))
            findings.Warning(CheckCode.ProcessorBlock, $"Windows runs more processors than NumberProcessors ({header.NumberProcessors}): a debugger shows only those");

        foreach (var evidence in _evidence)
        {
            evidence.Judge(_evidence, findings);
            CheckTables(evidence);
        }
        CheckHeaderContext();
        return [.. _evidence.Select(evidence => evidence.Result)];
    }

    private bool IsProcessor(VirtualAddress kprcb, int number) =>
        kprcb.IsKernel && space.TryRead(kprcb + kdbg.Word(DebuggerDataField.OffsetPrcbNumber), out uint stored) && stored == number;

    private ProcessorEvidence Read(int number, VirtualAddress kprcb)
    {
        var evidence = new ProcessorEvidence(space, kdbg, number, kprcb);
        if (!evidence.ReadKprcb(findings))
            return evidence;
        evidence.ReadContext(findings);
        evidence.ReadSpecialRegisters(findings);
        evidence.ReadThread(kdbg.Address, findings);
        return evidence;
    }

    private void CheckTables(ProcessorEvidence evidence)
    {
        if (evidence.SpecialRegisters is not { } registers)
            return;
        var number = evidence.Number;
        var gdt = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(registers.AsSpan(SpecialRegistersLayout.GdtrBase)));
        var gdtLimit = BinaryPrimitives.ReadUInt16LittleEndian(registers.AsSpan(SpecialRegistersLayout.GdtrLimit));
        if (evidence.Context is { } bytes && new Amd64ContextView(bytes).SegCs is not 0 and var cs)
            CheckCodeSegment(number, gdt, gdtLimit, cs);
        else if (!space.TryRead(gdt, out ulong _))
            findings.Error(CheckCode.Gdt, $"processor {number}: the GDT at {gdt} cannot be read");

        var idt = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(registers.AsSpan(SpecialRegistersLayout.IdtrBase)));
        var idtLimit = BinaryPrimitives.ReadUInt16LittleEndian(registers.AsSpan(SpecialRegistersLayout.IdtrLimit));
        Span<byte> gate = stackalloc byte[GateSize];
        if (!idt.IsKernel || !space.TryRead(idt, gate))
        {
            findings.Warning(CheckCode.Idt, $"processor {number}: the IDT at {idt} cannot be read");
        }
        else
        {
            // Intel SDM vol. 3A, 6.14.1: the handler's address in three pieces, the present bit in byte 5.
            var handler = new VirtualAddress(BinaryPrimitives.ReadUInt16LittleEndian(gate) | ((ulong)BinaryPrimitives.ReadUInt16LittleEndian(gate[6..]) << 16) |
                ((ulong)BinaryPrimitives.ReadUInt32LittleEndian(gate[8..]) << 32));
            if (idtLimit < IdtLimit || !handler.IsKernel || (gate[5] & 0x80) == 0)
                findings.Warning(CheckCode.Idt, $"processor {number}: the IDT at {idt} (limit 0x{idtLimit:x}) does not begin with a handler of the kernel");
        }
        evidence.Result = evidence.Result with { Gdt = gdt, Idt = idt };
    }

    private void CheckCodeSegment(int number, VirtualAddress gdt, ushort limit, ushort cs)
    {
        var offset = cs & ~7;
        if (!gdt.IsKernel || !space.TryRead(gdt + (ulong)offset, out ulong descriptor))
        {
            findings.Error(CheckCode.Gdt, $"processor {number}: the GDT at {gdt} cannot be read: a debugger's CS descriptor lookup fails");
            return;
        }
        // Intel SDM vol. 3A, 3.4.5: present bit 47, descriptor type bit 44, code bit 43, L bit 53, D bit 54.
        const ulong Present = 1UL << 47, CodeOrData = 1UL << 44, Code = 1UL << 43;
        if (offset + DescriptorSize - 1 > limit)
            findings.Error(CheckCode.Gdt, $"processor {number}: the code selector 0x{cs:x} lies beyond the GDT's limit 0x{limit:x}: a debugger's CS descriptor lookup fails");
        else if ((descriptor & (Present | CodeOrData | Code)) != (Present | CodeOrData | Code))
            findings.Error(CheckCode.Gdt, $"processor {number}: the descriptor 0x{descriptor:x16} of code selector 0x{cs:x} in the GDT at {gdt} is no code segment: a debugger's CS descriptor lookup fails");
    }

    /// <summary>The header's context is that of one of the processors.</summary>
    private void CheckHeaderContext()
    {
        var contexts = _evidence.Where(evidence => evidence.Context is not null).Select(evidence => new { evidence.Number, evidence.Result.Rip, evidence.Result.Rsp }).ToList();
        if (contexts.Count > 0 && !contexts.Exists(context => context.Rip == header.Rip && context.Rsp == header.Rsp))
            findings.Note(CheckCode.HeaderContext, $"the header's ContextRecord (rip 0x{header.Rip:x}) is that of none of the processors");
    }
}
