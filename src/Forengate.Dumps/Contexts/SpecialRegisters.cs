using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;
using L = Forengate.Windows.SpecialRegistersLayout;

namespace Forengate.Dumps;

/// <summary>Sets a processor's KSPECIAL_REGISTERS from a CPU's registers. What is not known stays as memory has it.</summary>
internal static class SpecialRegisters
{
    /// <param name="cpu">Registers of one CPU.</param>
    /// <param name="registers">The structure as memory holds it; longer than <see cref="SpecialRegistersLayout.MinSize"/> where the build has the later fields.</param>
    public static void Update(CpuState cpu, Span<byte> registers)
    {
        Set(registers, L.Cr0, cpu.Cr0);
        Set(registers, L.Cr2, cpu.Cr2);
        Set(registers, L.Cr3, cpu.Cr3);
        Set(registers, L.Cr4, cpu.Cr4);
        Set(registers, L.KernelDr0, cpu.Dr0);
        Set(registers, L.KernelDr1, cpu.Dr1);
        Set(registers, L.KernelDr2, cpu.Dr2);
        Set(registers, L.KernelDr3, cpu.Dr3);
        Set(registers, L.KernelDr6, cpu.Dr6);
        Set(registers, L.KernelDr7, cpu.Dr7);
        if (cpu.Gdtr is { } gdtr)
            SetTable(registers, L.GdtrLimit, gdtr);
        if (cpu.Idtr is { } idtr)
            SetTable(registers, L.IdtrLimit, idtr);
        if (cpu.Tr is { } tr)
            BinaryPrimitives.WriteUInt16LittleEndian(registers[L.Tr..], tr.Selector);
        if (cpu.Ldtr is { } ldtr)
            BinaryPrimitives.WriteUInt16LittleEndian(registers[L.Ldtr..], ldtr.Selector);
        if (cpu.MxCsr is { } mxCsr)
            BinaryPrimitives.WriteUInt32LittleEndian(registers[L.MxCsr..], mxCsr);
        Set(registers, L.DebugControl, cpu.DebugCtl);
        Set(registers, L.Cr8, cpu.Cr8);
        // As the CPU has them: caught in user mode, or between kernel entry and SWAPGS, the KPCR is in the second.
        Set(registers, L.MsrGsBase, cpu.Gs?.Base);
        Set(registers, L.MsrGsSwap, cpu.KernelGsBase);
        Set(registers, L.MsrStar, cpu.Star);
        Set(registers, L.MsrLStar, cpu.LStar);
        Set(registers, L.MsrCStar, cpu.CStar);
        Set(registers, L.MsrSyscallMask, cpu.SfMask);
        Set(registers, L.Xcr0, cpu.Xcr0);
        Set(registers, L.MsrFsBase, cpu.Fs?.Base);
    }

    private static void Set(Span<byte> registers, int offset, ulong? value)
    {
        if (value is { } known && offset + sizeof(ulong) <= registers.Length)
            BinaryPrimitives.WriteUInt64LittleEndian(registers[offset..], known);
    }

    private static void SetTable(Span<byte> registers, int limitOffset, DescriptorTableRegister table)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(registers[limitOffset..], (ushort)Math.Min(table.Limit, ushort.MaxValue));
        BinaryPrimitives.WriteUInt64LittleEndian(registers[(limitOffset + sizeof(ushort))..], table.Base);
    }
}
