using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory.Tests;

/// <summary>A core as VirtualBox' dumpvmcore writes it, by hand after include/VBox/vmm/dbgfcorefmt.h and VMM/VMMR3/DBGFCoreWrite.cpp.</summary>
internal static class VirtualBoxCore
{
    private const int ExtendedSize = 832;

    public static byte[] Make(byte[] low, byte[] high, params CpuState[] cpus)
    {
        var descriptor = new byte[24];
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor, 0xC01A_C0DE);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(4), 0x0001_0006);
        BinaryPrimitives.WriteInt32LittleEndian(descriptor.AsSpan(8), 24);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(12), 7 << 24 | 1 << 16 | 6);
        BinaryPrimitives.WriteInt32LittleEndian(descriptor.AsSpan(16), 167_084);
        BinaryPrimitives.WriteInt32LittleEndian(descriptor.AsSpan(20), cpus.Length);
        // Device registers have a segment without bytes; the ROM ends at 4 GiB.
        return new ElfCoreBuilder().Notes([Note("VBCORE", 0xB00, descriptor), .. cpus.Select(cpu => Note("VBCPU", 0xB01, Cpu(cpu)))])
            .Load(0, low).LoadAt(0xE000_0000, 0, 0, 0x10_0000).Load(0xFFFF_F000, new byte[Page.Size]).Load(0x1_0000_0000, high).Build();
    }

    /// <summary>The size of the name is without its zero; name and description are padded to 8 bytes.</summary>
    private static byte[] Note(string name, uint type, byte[] description)
    {
        var note = new byte[12 + 8 + description.Length];
        BinaryPrimitives.WriteInt32LittleEndian(note, name.Length);
        BinaryPrimitives.WriteInt32LittleEndian(note.AsSpan(4), description.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(note.AsSpan(8), type);
        Encoding.ASCII.GetBytes(name).CopyTo(note, 12);
        description.CopyTo(note, 20);
        return note;
    }

    private static byte[] Cpu(CpuState cpu)
    {
        var bytes = new List<byte>();
        Add(cpu.Rax, cpu.Rbx, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi, cpu.R8, cpu.R9, cpu.R10, cpu.R11, cpu.R12, cpu.R13, cpu.R14, cpu.R15, cpu.Rip, cpu.Rsp, cpu.Rbp, cpu.Rflags);
        foreach (var segment in new[] { cpu.Cs, cpu.Ds, cpu.Es, cpu.Fs, cpu.Gs, cpu.Ss })
            AddSegment(segment!.Value);
        Add(cpu.Cr0, cpu.Cr2, cpu.Cr3, cpu.Cr4, cpu.Dr0, cpu.Dr1, cpu.Dr2, cpu.Dr3, 0, 0, cpu.Dr6, cpu.Dr7);
        Add(cpu.Gdtr!.Value.Base, cpu.Gdtr.Value.Limit, cpu.Idtr!.Value.Base, cpu.Idtr.Value.Limit);
        AddSegment(cpu.Ldtr!.Value);
        AddSegment(cpu.Tr!.Value);
        Add(cpu.SysenterCs, cpu.SysenterEip, cpu.SysenterEsp, cpu.Efer, cpu.Star, cpu.Pat, cpu.LStar, cpu.CStar, cpu.SfMask, cpu.KernelGsBase, cpu.ApicBase, cpu.TscAux, cpu.Xcr0, 0);
        Add(ExtendedSize);
        var area = new byte[ExtendedSize];
        BinaryPrimitives.WriteUInt16LittleEndian(area, cpu.Fcw!.Value);
        BinaryPrimitives.WriteUInt16LittleEndian(area.AsSpan(2), cpu.Fsw!.Value);
        area[4] = cpu.Ftw!.Value;
        BinaryPrimitives.WriteUInt32LittleEndian(area.AsSpan(24), cpu.MxCsr!.Value);
        cpu.St!.Value.CopyTo(area.AsMemory(32));
        cpu.Xmm!.Value.CopyTo(area.AsMemory(160));
        cpu.YmmHigh!.Value.CopyTo(area.AsMemory(576));
        return [.. bytes, .. area];

        void Add(params ulong?[] values) => bytes.AddRange(values.SelectMany(value => BitConverter.GetBytes(value!.Value)));

        void AddSegment(SegmentRegister segment)
        {
            // The descriptor's attribute bits as VT-x keeps them: type and presence in the low byte, AVL, L, D, G in bits 12 to 15.
            var attributes = segment.Attributes!.Value >> 8 & 0xF0FF;
            bytes.AddRange([.. BitConverter.GetBytes(segment.Base!.Value), .. BitConverter.GetBytes(segment.Limit!.Value), .. BitConverter.GetBytes(attributes)]);
            bytes.AddRange([.. BitConverter.GetBytes(segment.Selector), 0, 0, 0, 0, 0, 0]);
        }
    }
}
