using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// The registers in the group "cpu" of a VMware state file, as far as VMware's code in crash (vmware_vmss.c) and illumos' mdb (mdb_vmss.c) name them. Newer files have the general and
/// control registers in a block each, older ones a tag for each register.
/// </summary>
internal sealed class VmwareCpus(MappedFile file, ImageLimits limits)
{
    private const int GeneralSize = 128;
    private const int DescriptorTableSize = 10;

    private readonly SortedDictionary<int, CpuState> _cpus = [];

    /// <summary>The CPUs that have at least one register, numbered as VMware numbers them.</summary>
    public IReadOnlyList<CpuState> All => [.. _cpus.Values];

    public void Add(in VmwareTag tag)
    {
        if (tag.Index0 < 0 || tag.Index0 >= limits.Cpus)
            return;
        var index = (int)tag.Index0;
        var before = _cpus.GetValueOrDefault(index) ?? new CpuState { Index = index, Source = "VMware state file" };
        var after = tag.IsBlock ? WithBlock(before, tag) : tag.TryRead(file, out var value) ? With(before, tag.Name, tag.Index1, value) : before;
        if (!ReferenceEquals(before, after))
            _cpus[index] = after;
    }

    private CpuState WithBlock(CpuState cpu, in VmwareTag tag)
    {
        if (tag.IsPacked || tag.Size > GeneralSize)
            return cpu;
        var bytes = file.Span((long)tag.At, (int)tag.Size);
        if (bytes.Length != (int)tag.Size)
            return cpu;
        switch (tag.Name)
        {
            case "gpregs" when bytes.Length == GeneralSize:
                ReadOnlySpan<string> order = ["rax", "rcx", "rdx", "rbx", "rbp", "rsp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
                for (var i = 0; i < order.Length; i++)
                    cpu = With(cpu, order[i], -1, BinaryPrimitives.ReadUInt64LittleEndian(bytes[(i * sizeof(ulong))..]));
                return cpu;
            case "CR64" or "DR64":
                for (var i = 0; i < bytes.Length / sizeof(ulong); i++)
                    cpu = With(cpu, tag.Name, i, BinaryPrimitives.ReadUInt64LittleEndian(bytes[(i * sizeof(ulong))..]));
                return cpu;
            case "IDTR" when bytes.Length == DescriptorTableSize:
                return cpu with { Idtr = new DescriptorTableRegister(BinaryPrimitives.ReadUInt64LittleEndian(bytes[sizeof(ushort)..]), BinaryPrimitives.ReadUInt16LittleEndian(bytes)) };
            default:
                return cpu;
        }
    }

    private static CpuState With(CpuState cpu, string name, long index, ulong value) => (name, index) switch
    {
        ("rax", _) => cpu with { Rax = value },
        ("rbx", _) => cpu with { Rbx = value },
        ("rcx", _) => cpu with { Rcx = value },
        ("rdx", _) => cpu with { Rdx = value },
        ("rsi", _) => cpu with { Rsi = value },
        ("rdi", _) => cpu with { Rdi = value },
        ("rsp", _) => cpu with { Rsp = value },
        ("rbp", _) => cpu with { Rbp = value },
        ("r8", _) => cpu with { R8 = value },
        ("r9", _) => cpu with { R9 = value },
        ("r10", _) => cpu with { R10 = value },
        ("r11", _) => cpu with { R11 = value },
        ("r12", _) => cpu with { R12 = value },
        ("r13", _) => cpu with { R13 = value },
        ("r14", _) => cpu with { R14 = value },
        ("r15", _) => cpu with { R15 = value },
        ("rip", _) => cpu with { Rip = value },
        // Two spellings, one of which may be empty: what is set in either is set.
        ("eflags" or "EFLAGS", _) => cpu with { Rflags = (cpu.Rflags ?? 0) | value },
        ("CR64", 0) => cpu with { Cr0 = value },
        ("CR64", 2) => cpu with { Cr2 = value },
        ("CR64", 3) => cpu with { Cr3 = value },
        ("CR64", 4) => cpu with { Cr4 = value },
        ("CR64", 8) => cpu with { Cr8 = value },
        ("DR64", 0) => cpu with { Dr0 = value },
        ("DR64", 1) => cpu with { Dr1 = value },
        ("DR64", 2) => cpu with { Dr2 = value },
        ("DR64", 3) => cpu with { Dr3 = value },
        ("DR64", 6) => cpu with { Dr6 = value },
        ("DR64", 7) => cpu with { Dr7 = value },
        ("S", 0) => cpu with { Es = Selector(cpu.Es, value) },
        ("S", 1) => cpu with { Cs = Selector(cpu.Cs, value) },
        ("S", 2) => cpu with { Ss = Selector(cpu.Ss, value) },
        ("S", 3) => cpu with { Ds = Selector(cpu.Ds, value) },
        ("S", 4) => cpu with { Fs = Selector(cpu.Fs, value) },
        ("S", 5) => cpu with { Gs = Selector(cpu.Gs, value) },
        ("S", 6) => cpu with { Ldtr = Selector(cpu.Ldtr, value) },
        ("S", 7) => cpu with { Tr = Selector(cpu.Tr, value) },
        ("S.base64", 4) => cpu with { Fs = Based(cpu.Fs, value) },
        ("S.base64", 5) => cpu with { Gs = Based(cpu.Gs, value) },
        _ => cpu,
    };

    private static SegmentRegister Selector(SegmentRegister? register, ulong value) => register.GetValueOrDefault() with { Selector = (ushort)value };

    private static SegmentRegister Based(SegmentRegister? register, ulong value) => register.GetValueOrDefault() with { Base = value };
}
