using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory.Tests.Vmware;

/// <summary>Writes VMware's state files by hand, after crash's vmware_vmss.h.</summary>
internal sealed class VmwareBuilder
{
    private readonly List<(string Name, List<byte> Tags)> _groups = [];

    public uint Magic { get; set; } = 0xBED2_BED2;

    public VmwareBuilder Group(string name)
    {
        _groups.Add((name, []));
        return this;
    }

    public VmwareBuilder Value(string name, ulong value, int size, params uint[] indexes)
    {
        Head(name, size, indexes);
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        _groups[^1].Tags.AddRange(bytes[..size]);
        return this;
    }

    public VmwareBuilder Block(string name, byte[] data, int padding, bool packed, params uint[] indexes)
    {
        Head(name, packed ? 62 : 63, indexes);
        var head = new byte[18 + padding];
        BinaryPrimitives.WriteInt64LittleEndian(head, data.Length);
        BinaryPrimitives.WriteInt64LittleEndian(head.AsSpan(8), data.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(16), (ushort)padding);
        _groups[^1].Tags.AddRange(head);
        _groups[^1].Tags.AddRange(data);
        return this;
    }

    /// <summary>The group of memory with its regions: guest page, page in the memory's bytes, pages.</summary>
    public VmwareBuilder Regions(params (uint Guest, uint File, uint Pages)[] regions)
    {
        Group("memory").Value("align_mask", 0xFFFF, 4).Value("regionsCount", (ulong)regions.Length, 4);
        for (uint i = 0; i < regions.Length; i++)
            Value("regionPageNum", regions[i].File, 4, i).Value("regionPPN", regions[i].Guest, 4, i).Value("regionSize", regions[i].Pages, 4, i);
        return this;
    }

    /// <summary>A CPU as older versions write it, a tag each, or as newer ones do, in blocks.</summary>
    public VmwareBuilder Cpu(uint index, CpuState cpu, bool blocks)
    {
        ulong?[] general = [cpu.Rax, cpu.Rcx, cpu.Rdx, cpu.Rbx, cpu.Rbp, cpu.Rsp, cpu.Rsi, cpu.Rdi, cpu.R8, cpu.R9, cpu.R10, cpu.R11, cpu.R12, cpu.R13, cpu.R14, cpu.R15];
        string[] names = ["rax", "rcx", "rdx", "rbx", "rbp", "rsp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
        ulong?[] control = [cpu.Cr0, 0, cpu.Cr2, cpu.Cr3, cpu.Cr4, 0, 0, 0, cpu.Cr8];
        if (blocks)
        {
            byte[] table = [.. BitConverter.GetBytes((ushort)cpu.Idtr!.Value.Limit), .. BitConverter.GetBytes(cpu.Idtr.Value.Base)];
            Block("gpregs", Bytes(general), 0, false, index).Block("CR64", Bytes(control), 0, false, index).Block("IDTR", table, 0, false, index);
        }
        else
        {
            for (var i = 0; i < general.Length; i++)
                Value(names[i], general[i]!.Value, 8, index);
            for (uint i = 0; i < 5; i++)
                Value("CR64", control[i]!.Value, 8, index, i);
        }
        SegmentRegister?[] segments = [cpu.Es, cpu.Cs, cpu.Ss, cpu.Ds, cpu.Fs, cpu.Gs, cpu.Ldtr, cpu.Tr];
        for (uint i = 0; i < segments.Length; i++)
            Value("S", segments[i]!.Value.Selector, 4, index, i);
        Value("S.base64", cpu.Fs!.Value.Base!.Value, 8, index, 4).Value("S.base64", cpu.Gs!.Value.Base!.Value, 8, index, 5);
        return Value("rip", cpu.Rip!.Value, 8, index).Value("eflags", cpu.Rflags!.Value, 4, index);
    }

    public byte[] Build()
    {
        var header = new byte[12 + (80 * _groups.Count)];
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4), 8);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), _groups.Count);
        var file = new List<byte>(header);
        for (var i = 0; i < _groups.Count; i++)
        {
            var entry = new byte[80];
            Encoding.ASCII.GetBytes(_groups[i].Name).CopyTo(entry, 0);
            BinaryPrimitives.WriteInt64LittleEndian(entry.AsSpan(64), file.Count);
            BinaryPrimitives.WriteInt64LittleEndian(entry.AsSpan(72), _groups[i].Tags.Count + 2);
            for (var b = 0; b < entry.Length; b++)
                file[12 + (80 * i) + b] = entry[b];
            file.AddRange(_groups[i].Tags);
            file.AddRange([0, 0]);
        }
        return [.. file];
    }

    private static byte[] Bytes(ulong?[] registers) => [.. registers.SelectMany(register => BitConverter.GetBytes(register ?? 0))];

    private void Head(string name, int size, uint[] indexes)
    {
        var tag = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(tag, (ushort)(name.Length << 8 | indexes.Length << 6 | size));
        _groups[^1].Tags.AddRange(tag);
        _groups[^1].Tags.AddRange(Encoding.ASCII.GetBytes(name));
        foreach (var index in indexes)
            _groups[^1].Tags.AddRange(BitConverter.GetBytes(index));
    }
}
