using System.Numerics;

namespace Forengate.Lab.Machine;

/// <summary>Refuses plans that would end in a triple fault or a silent lie, with the reason.</summary>
internal static class BootPlanCheck
{
    private const ulong FourGiB = 1UL << 32;
    private const ulong PageSize = 0x1000;
    // Between the end of low memory and 1 MiB a PC shows video memory, option ROMs and the BIOS, not RAM.
    private const ulong HoleStart = 0xA0000, HoleEnd = 0x100000;
    private const ulong Cr4La57 = 1 << 12;
    private const ulong AddressMask = 0x000FFFFFFFFFF000;

    public static void Check(BootPlan plan)
    {
        Require(plan.Cpus.Count is > 0 and <= BootRom.MaximumCpus, $"{plan.Cpus.Count} CPUs, 1 to {BootRom.MaximumCpus} can be had");
        Require(plan.LowSize <= plan.MemorySize && plan.LowSize < FourGiB, $"0x{plan.LowSize:X} bytes below 4 GiB of 0x{plan.MemorySize:X}");
        Require(plan.LowSize >= HoleEnd && (plan.LowSize | plan.MemorySize) % (1 << 20) == 0, "memory is given in whole MiB, 1 MiB at least below 4 GiB");
        var end = 0UL;
        foreach (var segment in plan.Segments.OrderBy(s => s.Address))
        {
            var length = (ulong)segment.Bytes.Length;
            var name = $"segment 0x{segment.Address:X}+0x{length:X}";
            Require(length != 0 && (segment.Address | length) % PageSize == 0, $"{name} is not made of whole pages");
            Require(segment.Address >= end, $"{name} overlaps the one before");
            end = segment.Address + length;
            Require(InRam(plan, segment.Address, length), $"{name} lies outside RAM");
        }
        if (plan.VmCoreInfo is { } note)
            Require(InRam(plan, note.Address, note.Size), $"the vmcoreinfo note at 0x{note.Address:X} lies outside RAM");
        Require(plan.Code.HotPages == 0 || BitOperations.IsPow2(plan.Code.HotPages), $"a hot area of {plan.Code.HotPages} pages: it must be a power of two");
        for (var i = 0; i < plan.Cpus.Count; i++)
            Check(plan, plan.Cpus[i], i);
    }

    /// <summary>Whether the CPUs walk five levels of page tables.</summary>
    public static bool HasFiveLevels(BootPlan plan) => (plan.Cpus[0].Cr4 & Cr4La57) != 0;

    private static void Check(BootPlan plan, CpuStart cpu, int index)
    {
        Require(cpu.Index == index, $"CPU {cpu.Index} stands at place {index}");
        Require(((cpu.Cr4 ^ plan.Cpus[0].Cr4) & Cr4La57) == 0, $"CPU {index} and CPU 0 disagree about five-level paging, which is chosen before long mode");
        Require(cpu.Xmm6To9 is null or { Length: 64 }, $"CPU {index} has {cpu.Xmm6To9?.Length} bytes for XMM6 to XMM9, 64 are needed");
        PageTable(plan, cpu.Cr3);
        PageTable(plan, cpu.KernelCr3);
        if (cpu.Mode != CpuMode.User)
        {
            Require((cpu.Cs & 3) == 0, $"CPU {index} is in ring 0 with CS 0x{cpu.Cs:X}");
            return;
        }
        // SYSRET takes both selectors from STAR.
        var user = (ushort)(cpu.Star >> 48);
        Require(cpu.Cs == (user + 16 | 3) && cpu.Ss == (user + 8 | 3), $"CPU {index} is in ring 3 with CS 0x{cpu.Cs:X}, SS 0x{cpu.Ss:X}: STAR says 0x{user + 16 | 3:X}, 0x{user + 8 | 3:X}");
    }

    /// <summary>The 4 KiB of the top-level table that a CR3 value points at.</summary>
    public static ReadOnlySpan<byte> PageTable(BootPlan plan, ulong cr3)
    {
        var address = cr3 & AddressMask;
        foreach (var segment in plan.Segments)
        {
            if (address >= segment.Address && address - segment.Address + PageSize <= (ulong)segment.Bytes.Length)
                return segment.Bytes.Span.Slice((int)(address - segment.Address), (int)PageSize);
        }
        throw new BootPlanException($"boot plan: no segment holds the page table at 0x{address:X}");
    }

    private static bool InRam(BootPlan plan, ulong address, ulong length)
    {
        if (address >= FourGiB)
            return address - FourGiB + length <= plan.MemorySize - plan.LowSize;
        return address + length <= plan.LowSize && (address >= HoleEnd || address + length <= HoleStart);
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
            throw new BootPlanException("boot plan: " + message);
    }
}
