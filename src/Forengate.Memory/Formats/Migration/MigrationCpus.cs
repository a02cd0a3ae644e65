using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// The registers of every CPU out of the sections <c>cpu</c> and <c>apic</c>, by the names of QEMU's fields (QEMU, target/i386/machine.c, hw/intc/apic_common.c; the same names from 2.4
/// to 10). Where each field lies is the stream's own description's to say.
/// </summary>
internal static class MigrationCpus
{
    // Order of the general registers and segments in QEMU (target/i386/cpu.h).
    private const int Eax = 0;
    private const int Ecx = 1;
    private const int Edx = 2;
    private const int Ebx = 3;
    private const int Esp = 4;
    private const int Ebp = 5;
    private const int Esi = 6;
    private const int Edi = 7;
    private const int R8 = 8;
    private const int SegmentEs = 0;
    private const int SegmentCs = 1;
    private const int SegmentSs = 2;
    private const int SegmentDs = 3;
    private const int SegmentFs = 4;
    private const int SegmentGs = 5;

    /// <summary>QEMU keeps the descriptor's whole upper half; the rest of it is base and limit.</summary>
    private const uint AttributeBits = 0x00FF_FF00;

    private const int VectorRegisters = 16;
    private const int VectorBytes = 16;
    private const int FloatRegisters = 8;
    private const int FloatTopShift = 11;

    /// <summary>CR8 holds the upper half of the APIC's task priority.</summary>
    private const int TaskPriorityShift = 4;

    /// <summary>Reads all CPUs, in the order of their numbers.</summary>
    /// <param name="stream">With its devices.</param>
    /// <param name="remarks">Gets what could not be read.</param>
    public static IReadOnlyList<CpuState> Read(MigrationStream stream, List<string> remarks)
    {
        var cpus = new SortedDictionary<uint, CpuState>();
        if (stream.Descriptions is not { } descriptions)
        {
            remarks.Add(stream.Devices.Exists(device => device.Name == MigrationDevices.Cpu)
                ? "the stream has no description of its devices (suppress-vmdesc, or cut off): the CPUs' registers can't be located and are unknown"
                : "the stream has no device state: the CPUs' registers are unknown");
            return [];
        }
        var isKvm = stream.Devices.Exists(device => device.Name == MigrationDevices.KvmClock);
        // Sections stand in the order in which their devices were made: a CPU's APIC comes after it and before the next CPU. The APIC's instance is its id, not the CPU's number.
        uint? latest = null;
        foreach (var device in stream.Devices)
        {
            if (device.Name is not (MigrationDevices.Cpu or MigrationDevices.Apic) || descriptions.Fields(device.Name, device.Instance) is not { } node)
                continue;
            var fields = new DeviceFields(node, device.Data);
            if (device.Name == MigrationDevices.Cpu)
            {
                latest = device.Instance;
                cpus[device.Instance] = Read(fields, device.Instance, isKvm);
            }
            else if (latest is { } cpu)
            {
                cpus[cpu] = cpus[cpu] with { Cr8 = fields.Number("tpr") >> TaskPriorityShift, ApicBase = fields.Number("apicbase") };
                latest = null;
            }
        }
        if (cpus.Count == 0)
            remarks.Add("the stream has no CPU sections that can be read: the registers are unknown");
        return [.. cpus.Values];
    }

    /// <summary>Reads one CPU.</summary>
    internal static CpuState Read(DeviceFields cpu, uint number, bool isKvm)
    {
        var status = (ushort?)cpu.Number("env.fpus_vmstate");
        var tsc = cpu.Number("env.tsc");
        return new CpuState
        {
            Index = (int)Math.Min(number, int.MaxValue),
            Source = "migration stream",
            Rax = General(cpu, Eax),
            Rbx = General(cpu, Ebx),
            Rcx = General(cpu, Ecx),
            Rdx = General(cpu, Edx),
            Rsi = General(cpu, Esi),
            Rdi = General(cpu, Edi),
            Rsp = General(cpu, Esp),
            Rbp = General(cpu, Ebp),
            R8 = General(cpu, R8),
            R9 = General(cpu, R8 + 1),
            R10 = General(cpu, R8 + 2),
            R11 = General(cpu, R8 + 3),
            R12 = General(cpu, R8 + 4),
            R13 = General(cpu, R8 + 5),
            R14 = General(cpu, R8 + 6),
            R15 = General(cpu, R8 + 7),
            Rip = cpu.Number("env.eip"),
            Rflags = cpu.Number("env.eflags"),
            Cs = Segment(cpu, "env.segs", SegmentCs),
            Ds = Segment(cpu, "env.segs", SegmentDs),
            Es = Segment(cpu, "env.segs", SegmentEs),
            Fs = Segment(cpu, "env.segs", SegmentFs),
            Gs = Segment(cpu, "env.segs", SegmentGs),
            Ss = Segment(cpu, "env.segs", SegmentSs),
            Ldtr = Segment(cpu, "env.ldt"),
            Tr = Segment(cpu, "env.tr"),
            Gdtr = Table(cpu, "env.gdt"),
            Idtr = Table(cpu, "env.idt"),
            Cr0 = cpu.Number("env.cr[0]"),
            Cr2 = cpu.Number("env.cr[2]"),
            Cr3 = cpu.Number("env.cr[3]"),
            Cr4 = cpu.Number("env.cr[4]"),
            Xcr0 = cpu.Number("env.xcr0"),
            Dr0 = cpu.Number("env.dr", 0),
            Dr1 = cpu.Number("env.dr", 1),
            Dr2 = cpu.Number("env.dr", 2),
            Dr3 = cpu.Number("env.dr", 3),
            Dr6 = cpu.Number("env.dr", 6),
            Dr7 = cpu.Number("env.dr", 7),
            // A QEMU for 32-bit guests has it in a subsection, and only when it is not 0.
            Efer = cpu.Number("env.efer") ?? cpu.Subsection("cpu/efer32")?.Number("env.efer"),
            Star = cpu.Number("env.star"),
            LStar = cpu.Number("env.lstar"),
            CStar = cpu.Number("env.cstar"),
            SfMask = cpu.Number("env.fmask"),
            KernelGsBase = cpu.Number("env.kernelgsbase"),
            Pat = cpu.Number("env.pat"),
            SysenterCs = cpu.Number("env.sysenter_cs"),
            SysenterEsp = cpu.Number("env.sysenter_esp"),
            SysenterEip = cpu.Number("env.sysenter_eip"),
            // TCG counts elsewhere and leaves this field 0.
            Tsc = tsc == 0 ? null : tsc,
            TscAux = cpu.Number("env.tsc_aux"),
            Fcw = (ushort?)cpu.Number("env.fpuc"),
            Fsw = status,
            Ftw = (byte?)cpu.Number("env.fptag_vmstate"),
            MxCsr = (uint?)cpu.Number("env.mxcsr"),
            St = Floats(cpu, isKvm || tsc is not (null or 0) ? 0 : (status ?? 0) >> FloatTopShift),
            Xmm = Vectors(cpu, "xmm_reg"),
            YmmHigh = Vectors(cpu, "ymmh_reg"),
        };
    }

    private static ulong? General(DeviceFields cpu, int number) => cpu.Number("env.regs", number);

    private static SegmentRegister? Segment(DeviceFields cpu, string name, int number = 0) =>
        cpu.Struct(name, number) is { } segment && segment.Number("selector") is { } selector
            ? new SegmentRegister((ushort)selector, segment.Number("base"), (uint?)segment.Number("limit"), (uint?)segment.Number("flags") & AttributeBits)
            : null;

    private static DescriptorTableRegister? Table(DeviceFields cpu, string name) =>
        cpu.Struct(name) is { } table && table.Number("base") is { } start && table.Number("limit") is { } limit ? new DescriptorTableRegister(start, (uint)limit) : null;

    /// <summary>
    /// ST0 to ST7. TCG keeps the eight registers by number, and the stack's top tells which is ST0; KVM hands them over as FXSAVE orders them, and QEMU saves them so
    /// (target/i386/xsave_helper.c).
    /// </summary>
    private static ReadOnlyMemory<byte>? Floats(DeviceFields cpu, int top)
    {
        var all = new byte[FloatRegisters * VectorBytes];
        for (var i = 0; i < FloatRegisters; i++)
        {
            if (cpu.Struct("env.fpregs", (top + i) % FloatRegisters) is not { } register || register.Struct("tmp") is not { } parts
                || parts.Number("tmp_mant") is not { } mantissa || parts.Number("tmp_exp") is not { } exponent)
            {
                return null;
            }
            BinaryPrimitives.WriteUInt64LittleEndian(all.AsSpan(i * VectorBytes), mantissa);
            BinaryPrimitives.WriteUInt16LittleEndian(all.AsSpan((i * VectorBytes) + sizeof(ulong)), (ushort)exponent);
        }
        return all;
    }

    private static ReadOnlyMemory<byte>? Vectors(DeviceFields cpu, string structName)
    {
        var all = new byte[VectorRegisters * VectorBytes];
        var count = 0;
        // A QEMU for 32-bit guests saves eight.
        for (; count < VectorRegisters && cpu.Struct("env.xmm_regs", count, structName) is { } register; count++)
        {
            if (register.NumberAt(0) is not { } low || register.NumberAt(1) is not { } high)
                return null;
            BinaryPrimitives.WriteUInt64LittleEndian(all.AsSpan(count * VectorBytes), low);
            BinaryPrimitives.WriteUInt64LittleEndian(all.AsSpan((count * VectorBytes) + sizeof(ulong)), high);
        }
        return count is VectorRegisters or FloatRegisters ? all : null;
    }
}
