using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>
/// Puts each CPU's registers where a debugger reads them: into the CONTEXT that the pointer at KPRCB+OffsetPrcbContext leads to, into ProcessorState.ContextFrame where that
/// is another place, and into ProcessorState.SpecialRegisters.
/// </summary>
internal static class ProcessorPatches
{
    /// <summary>Windows' kernel selectors on x64 (KGDT64_R0_CODE, KGDT64_R0_DATA, KGDT64_R3_DATA and KGDT64_R3_CMTEB with RPL 3; <c>ntddk.h</c>).</summary>
    private const ushort KernelCode = 0x10, KernelData = 0x18, UserData = 0x2B, UserTeb = 0x53;

    /// <summary>GdtBase and IdtBase in KPCR (<c>ntddk.h</c>): where an image without registers still tells the tables.</summary>
    private const int KpcrGdtBase = 0x00, KpcrIdtBase = 0x38;

    /// <summary>Windows' GDT on x64 ends behind the CMTEB descriptor at 0x50; its IDT has 256 gates of 16 bytes.</summary>
    private const ushort GdtLimit = 0x57, IdtLimit = 0xFFF;

    /// <summary>The largest SpecialRegisters believed, in bytes: the distance to the context frame behind it.</summary>
    private const ulong MaxSpecialRegisters = 0x200;

    public static DumpedProcessor Add(PatchList patches, AddressSpace kernel, Processor processor, List<string> gaps)
    {
        // Written anew they would lose what no register record holds: the dump's own bytes are the better copy.
        if (processor.RegistersAreInMemory && processor.Cpu is { Rip: null })
            gaps.Add($"processor {processor.Number}: the image keeps page and descriptor tables for it, but no CONTEXT");
        if (processor.RegistersAreInMemory)
            return new DumpedProcessor(processor.Number, processor.Cpu?.Index, processor.MatchedBy, []);

        var written = new List<string>();
        var context = new byte[Amd64ContextLayout.Size];
        if (processor.Cpu is { } cpu)
        {
            Amd64Context.Write(cpu, context);
        }
        else
        {
            gaps.Add($"processor {processor.Number}: no registers ({processor.MatchedBy}); a debugger shows what memory holds of an earlier moment");
            if (!TryMakeStandIn(kernel, processor, context))
                return new DumpedProcessor(processor.Number, null, processor.MatchedBy, written);
        }

        var places = new List<VirtualAddress>();
        if (processor.Context is { } pointed)
            places.Add(pointed);
        if (processor.ContextFrame is { } frame && frame != processor.Context)
            places.Add(frame);
        foreach (var place in places)
        {
            if (patches.TryAdd(place, context, $"CONTEXT of processor {processor.Number}"))
                written.Add($"CONTEXT at {place}");
            else
                gaps.Add($"processor {processor.Number}: the CONTEXT at {place} lies in memory that the view does not hold");
        }
        if (places.Count == 0)
            gaps.Add($"processor {processor.Number}: its KPRCB leads to no CONTEXT");

        if (processor.SpecialRegisters is { } at)
        {
            var size = processor.ContextFrame is { } behind && behind - at is >= SpecialRegistersLayout.MinSize and <= MaxSpecialRegisters ? (int)(behind - at) : SpecialRegistersLayout.MinSize;
            var registers = new byte[size];
            if (!kernel.TryRead(at, registers))
            {
                gaps.Add($"processor {processor.Number}: SpecialRegisters at {at} cannot be read");
            }
            else
            {
                if (processor.Cpu is { } known)
                    SpecialRegisters.Update(known, registers);
                FillTables(kernel, processor, registers);
                if (patches.TryAdd(at, registers, $"SpecialRegisters of processor {processor.Number}"))
                    written.Add($"SpecialRegisters at {at}");
            }
        }
        return new DumpedProcessor(processor.Number, processor.Cpu?.Index, processor.MatchedBy, written);
    }

    /// <summary>
    /// Without registers the context in memory is left alone, except where there never was one: a debugger wants selectors that say 64-bit kernel mode, and says nothing true
    /// without them. Nothing but the segments is flagged valid.
    /// </summary>
    public static bool TryMakeStandIn(AddressSpace kernel, Processor processor, Span<byte> context)
    {
        var place = processor.Context ?? processor.ContextFrame;
        if (place is null || !kernel.TryRead(place.Value, context) || new Amd64ContextView(context) is { SegCs: not 0 })
            return false;
        WriteKernelSelectors(context);
        return true;
    }

    public static void WriteKernelSelectors(Span<byte> context)
    {
        context.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(context[Amd64ContextLayout.ContextFlags..], (uint)Amd64ContextFlags.Segments);
        BinaryPrimitives.WriteUInt16LittleEndian(context[Amd64ContextLayout.SegCs..], KernelCode);
        BinaryPrimitives.WriteUInt16LittleEndian(context[Amd64ContextLayout.SegSs..], KernelData);
        BinaryPrimitives.WriteUInt16LittleEndian(context[Amd64ContextLayout.SegDs..], UserData);
        BinaryPrimitives.WriteUInt16LittleEndian(context[Amd64ContextLayout.SegEs..], UserData);
        BinaryPrimitives.WriteUInt16LittleEndian(context[Amd64ContextLayout.SegFs..], UserTeb);
        BinaryPrimitives.WriteUInt16LittleEndian(context[Amd64ContextLayout.SegGs..], UserData);
    }

    /// <summary>GDT and IDT from the KPCR where neither CPU nor memory has them.</summary>
    private static void FillTables(AddressSpace kernel, Processor processor, Span<byte> registers)
    {
        Fill(registers, SpecialRegistersLayout.GdtrLimit, KpcrGdtBase, GdtLimit);
        Fill(registers, SpecialRegistersLayout.IdtrLimit, KpcrIdtBase, IdtLimit);

        void Fill(Span<byte> into, int limitOffset, int kpcrOffset, ushort limit)
        {
            var baseOffset = limitOffset + sizeof(ushort);
            if (BinaryPrimitives.ReadUInt64LittleEndian(into[baseOffset..]) != 0 || !kernel.TryReadPointer(processor.Kpcr + (ulong)kpcrOffset, out var table) || !table.IsKernel)
                return;
            BinaryPrimitives.WriteUInt64LittleEndian(into[baseOffset..], table.Value);
            BinaryPrimitives.WriteUInt16LittleEndian(into[limitOffset..], limit);
        }
    }
}
