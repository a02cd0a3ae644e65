using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>
/// The x86 CONTEXT (winnt.h; 0x2CC bytes, confirmed by the type tables of 32-bit kernels) and <c>KSPECIAL_REGISTERS</c> behind it in KPROCESSOR_STATE: written over what memory holds, so that what is
/// unknown stays as it was.
/// </summary>
internal static class X86Context
{
    public const int Size = 0x2CC, SpecialSize = 0x54;
    public const int Eip = 0xB8, SegCs = 0xBC, Esp = 0xC4;

    private const int ContextFlags = 0x00, Dr0 = 0x04, SegGs = 0x8C, SegFs = 0x90, SegEs = 0x94, SegDs = 0x98, SegSs = 0xC8, EFlags = 0xC0;
    private const int Edi = 0x9C, Esi = 0xA0, Ebx = 0xA4, Edx = 0xA8, Ecx = 0xAC, Eax = 0xB0, Ebp = 0xB4;

    /// <summary>CONTEXT_i386 with control, integer, segment and debug registers; those of floating point are not claimed.</summary>
    private const uint ValidFlags = 0x1_0017;

    private const int Cr0 = 0x00, Cr2 = 0x04, Cr3 = 0x08, Cr4 = 0x0C, KernelDr0 = 0x10, Gdtr = 0x28, Idtr = 0x30, Tr = 0x38, Ldtr = 0x3A;

    /// <summary>DESCRIPTOR: padding, limit, base.</summary>
    private const int DescriptorLimit = 2, DescriptorBase = 4;

    public static void Write(CpuState cpu, Span<byte> context)
    {
        Put(context, ContextFlags, ValidFlags);
        Put(context, Edi, cpu.Rdi);
        Put(context, Esi, cpu.Rsi);
        Put(context, Ebx, cpu.Rbx);
        Put(context, Edx, cpu.Rdx);
        Put(context, Ecx, cpu.Rcx);
        Put(context, Eax, cpu.Rax);
        Put(context, Ebp, cpu.Rbp);
        Put(context, Eip, cpu.Rip);
        Put(context, Esp, cpu.Rsp);
        Put(context, EFlags, cpu.Rflags);
        Put(context, SegCs, cpu.Cs?.Selector);
        Put(context, SegSs, cpu.Ss?.Selector);
        Put(context, SegDs, cpu.Ds?.Selector);
        Put(context, SegEs, cpu.Es?.Selector);
        Put(context, SegFs, cpu.Fs?.Selector);
        Put(context, SegGs, cpu.Gs?.Selector);
        PutDebug(cpu, context[Dr0..]);
    }

    public static void WriteSpecial(CpuState cpu, Span<byte> special)
    {
        Put(special, Cr0, cpu.Cr0);
        Put(special, Cr2, cpu.Cr2);
        Put(special, Cr3, cpu.Cr3);
        Put(special, Cr4, cpu.Cr4);
        PutDebug(cpu, special[KernelDr0..]);
        PutTable(special[Gdtr..], cpu.Gdtr);
        PutTable(special[Idtr..], cpu.Idtr);
        if (cpu.Tr is { } tr)
            BinaryPrimitives.WriteUInt16LittleEndian(special[Tr..], tr.Selector);
        if (cpu.Ldtr is { } ldtr)
            BinaryPrimitives.WriteUInt16LittleEndian(special[Ldtr..], ldtr.Selector);
    }

    /// <summary>DR0 to DR3, DR6, DR7.</summary>
    private static void PutDebug(CpuState cpu, Span<byte> place)
    {
        ReadOnlySpan<ulong?> values = [cpu.Dr0, cpu.Dr1, cpu.Dr2, cpu.Dr3, cpu.Dr6, cpu.Dr7];
        for (var i = 0; i < values.Length; i++)
            Put(place, i * sizeof(uint), values[i]);
    }

    private static void PutTable(Span<byte> place, DescriptorTableRegister? table)
    {
        if (table is not { } known)
            return;
        BinaryPrimitives.WriteUInt16LittleEndian(place[DescriptorLimit..], (ushort)known.Limit);
        BinaryPrimitives.WriteUInt32LittleEndian(place[DescriptorBase..], (uint)known.Base);
    }

    private static void Put(Span<byte> bytes, int offset, ulong? value)
    {
        if (value is { } known)
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[offset..], (uint)known);
    }
}
