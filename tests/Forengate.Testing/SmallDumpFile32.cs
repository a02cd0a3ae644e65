using System.Buffers.Binary;
using System.Text;

namespace Forengate.Testing;

/// <summary>
/// A small dump of 32-bit Windows, laid out byte by byte: a stand-in for what no test machine has. All offsets are spelled out here a second time, so that reader and builder cannot be wrong in the
/// same constant. It crashed with 0xD1 in a driver, on processor 1 of 2, in the process worker.exe.
/// </summary>
public sealed class SmallDumpFile32
{
    public const uint KernelBase = 0x8280_0000, KernelSize = 0x41_2000, DriverBase = 0x8E10_0000, DriverSize = 0x7000, Kdbg = 0x8292_7BE8, ModuleList = 0x8292_F850, ProcessHead = 0x8292_7F18;
    public const uint Thread = 0x8593_4D48, Process = 0x8592_0030, ParentId = 0x1D8, ProcessId = 0x4C4, ThreadId = 0x4C8, Peb = 0x7FFD_9000, Table = 0x3EC2_91A0;
    public const uint Eip = DriverBase + 0x123A, Esp = 0x9A3F_7B2C, Cr4 = 0x6F9, GdtBase = 0x807C_7000, IdtBase = 0x807C_7400;
    public const uint PageOfData = 0xA110_3000;
    public const ulong CreateTime = 0x01DC_B5D1_2E40_0000, SystemTime = 0x01DC_B5D2_0000_0000, UpTime = 36_000_000_000;
    public const string PageText = "a page of data that Windows picked";

    private readonly byte[] _file = new byte[0x9000];
    private int _end = 0x1080;

    /// <summary>Where KDBG, the KPRCB, EPROCESS, ETHREAD, stack, driver list and data blocks lie in the file.</summary>
    public int KdbgAt { get; private set; }

    public int ProcessAt { get; private set; }

    public int DriversAt { get; private set; }

    public int EndMarkAt { get; private set; }

    /// <summary>Windows 7 SP1 (7601) or Windows XP (2600), whose KDBG ends before the offsets of structures.</summary>
    /// <param name="build">7601 or 2600.</param>
    /// <param name="pae">Without it page tables have two levels.</param>
    public static SmallDumpFile32 Of(uint build, bool pae)
    {
        var dump = new SmallDumpFile32();
        dump.Header(build, pae);
        dump.Structures(build, pae);
        return dump;
    }

    public byte[] Bytes => _file[.._end];

    private void Header(uint build, bool pae)
    {
        for (var i = 0; i < 0x1000; i++)
            _file[i] = "PAGE"u8[i & 3];
        "DUMP"u8.CopyTo(_file.AsSpan(4));
        foreach (var (at, value) in new (int, uint)[]
        {
            (0x08, 0xF), (0x0C, build), (0x10, Table), (0x14, 0x8294_5700), (0x18, ModuleList), (0x1C, ProcessHead), (0x20, 0x14C), (0x24, 2),
            (0x28, 0xD1), (0x2C, 8), (0x30, 2), (0x34, 1), (0x38, Eip), (0x60, Kdbg),
            (0x7D0, 0x8000_0003), (0x7D4, 1), (0x7D8, 0), (0x7DC, Eip), (0x7E0, 0), (0xF88, 4), (0xF8C, 0xCFF), (0x8A0, 0),
        })
            Put(at, value);
        _file[0x5C] = pae ? (byte)1 : (byte)0;
        Wide(0xFA0, 0);
        Wide(0xFB8, UpTime);
        Wide(0xFC0, SystemTime);
        Context(0x320);
    }

    private void Context(int at)
    {
        _file.AsSpan(at, 0x2CC).Clear();
        foreach (var (offset, value) in new (int, uint)[]
        {
            (0x00, 0x1_0007), (0x90, 0x30), (0x94, 0x23), (0x98, 0x23), (0x9C, 0xD1D1_0001), (0xA0, 0x5151_0002), (0xA4, 0xB0B0_0003), (0xA8, 0xD0D0_0004), (0xAC, 0xC0C0_0005), (0xB0, 0xA0A0_0006),
            (0xB4, Esp + 0x40), (0xB8, Eip), (0xBC, 8), (0xC0, 0x10246), (0xC4, Esp), (0xC8, 0x10),
        })
            Put(at + offset, value);
    }

    private void Structures(uint build, bool pae)
    {
        var isXp = build == 2600;
        var kdbgSize = isXp ? 0x290 : 0x340;
        KdbgAt = Take(kdbgSize);
        DebuggerBlock(KdbgAt, kdbgSize, isXp);

        var unloaded = Take(4 + (2 * 0x28));
        Put(unloaded, 2);
        Unloaded(unloaded + 4, "dump_diskd", 0x8F00_0000);
        Unloaded(unloaded + 4 + 0x28, "crashdmp.sys", 0x8F10_0000);

        var prcb = Take(isXp ? 0xC50 : 0x3628);
        Put(prcb + 0x04, Thread);
        _file[prcb + (isXp ? 0x10 : 0x3CC)] = 1;
        Context(prcb + (isXp ? 0x1C : 0x18));
        var special = prcb + (isXp ? 0x2E8 : 0x2E4);
        Put(special, 0x8001_003B);
        Put(special + 0x04, 8);
        Put(special + 0x08, Table);
        Put(special + 0x0C, pae ? Cr4 : Cr4 & ~0x20u);
        Put(special + 0x20, 0xFFFF_0FF0);
        Put(special + 0x24, 0x400);
        Half(special + 0x2A, 0x3FF);
        Put(special + 0x2C, GdtBase);
        Half(special + 0x32, 0x7FF);
        Put(special + 0x34, IdtBase);
        Half(special + 0x38, 0x28);

        ProcessAt = Take(isXp ? 0x260 : 0x2C0);
        _file[ProcessAt] = 3;
        Put(ProcessAt + 0x18, Table);
        Put(ProcessAt + (isXp ? 0x84 : 0xB4), ProcessId);
        Put(ProcessAt + (isXp ? 0x14C : 0x140), ParentId);
        "worker.exe"u8.CopyTo(_file.AsSpan(ProcessAt + (isXp ? 0x174 : 0x16C)));
        Wide(ProcessAt + (isXp ? 0x70 : 0xA0), CreateTime);
        Put(ProcessAt + (isXp ? 0x1B0 : 0x1A8), Peb);
        Put(ProcessAt + (isXp ? 0x1A0 : 0x198), 3);

        var thread = Take(isXp ? 0x258 : 0x2B8);
        _file[thread] = 6;
        Put(thread + (isXp ? 0x44 : 0x50), Process);
        Put(thread + (isXp ? 0x1EC : 0x22C), ProcessId);
        Put(thread + (isXp ? 0x1F0 : 0x230), ThreadId);

        var stack = Take(0x200);
        for (var i = 0; i < 0x200; i += 4)
            Put(stack + i, 0x57AC_0000 + (uint)i);

        (uint Base, uint Size, uint Stamp, string Path)[] drivers =
        [
            (KernelBase, KernelSize, 0x4CE7_8A09, @"\SystemRoot\system32\ntkrnlpa.exe"),
            (0x827C_9000, 0x3_7000, 0x4CE7_88D2, @"\SystemRoot\system32\halmacpi.dll"),
            (DriverBase, DriverSize, 0x5A0B_0C0D, @"\SystemRoot\system32\DRIVERS\broken.sys"),
        ];
        DriversAt = Take(drivers.Length * 0x4C);
        var strings = _end;
        for (var i = 0; i < drivers.Length; i++)
        {
            var entry = DriversAt + (i * 0x4C);
            var text = Take(4 + ((drivers[i].Path.Length + 1) * 2));
            Put(entry, (uint)text);
            Put(entry + 0x1C, drivers[i].Base);
            Put(entry + 0x20, drivers[i].Base + 0x1000);
            Put(entry + 0x24, drivers[i].Size);
            Put(entry + 0x48, drivers[i].Stamp);
            Put(text, (uint)drivers[i].Path.Length);
            Encoding.Unicode.GetBytes(drivers[i].Path, _file.AsSpan(text + 4));
        }
        var stringsEnd = _end;

        var page = Take(0x100);
        Encoding.ASCII.GetBytes(PageText, _file.AsSpan(page));
        var blocks = Take(0x10);
        Wide(blocks, unchecked((ulong)(int)PageOfData));
        Put(blocks + 8, (uint)page);
        Put(blocks + 12, 0x100);
        EndMarkAt = Take(4);
        "TRGD"u8.CopyTo(_file.AsSpan(EndMarkAt));
        _end = EndMarkAt + 4;

        uint[] directory =
        [
            0, (uint)_end, (uint)EndMarkAt, 0x320, 0x7D0, 0, (uint)unloaded, (uint)prcb, (uint)ProcessAt, (uint)thread, (uint)stack, 0x200, (uint)DriversAt, (uint)drivers.Length,
            (uint)strings, (uint)(stringsEnd - strings), 0, 0, Esp, 0, 0, 0, (uint)KdbgAt, (uint)kdbgSize, (uint)blocks, 1,
        ];
        for (var i = 0; i < directory.Length; i++)
            Put(0x1000 + (4 * i), directory[i]);
    }

    private void DebuggerBlock(int at, int size, bool isXp)
    {
        "KDBG"u8.CopyTo(_file.AsSpan(at + 0x10));
        Put(at + 0x14, (uint)size);
        foreach (var (field, value) in new (int, uint)[] { (0x18, KernelBase), (0x48, ModuleList), (0x50, ProcessHead), (0x58, 0x8293_E700), (0x138, 0x1000), (0x1D0, 0x8000_0000) })
            Wide(at + field, field == 0x138 ? value : unchecked((ulong)(int)value));
        if (isXp)
            return;
        foreach (var (field, value) in new (int, int)[]
        {
            (0x2A0, 0x50), (0x2A8, 0x2C0), (0x2AA, 0x1A8), (0x2AC, 0x140), (0x2AE, 0x18), (0x2B0, 0x3628), (0x2B4, 0x04), (0x2BC, 0x18), (0x2BE, 0x3CC), (0x2C0, 0x2B8), (0x2F2, 0x2E4), (0x338, 0x3618),
            (0x2F4, 8), (0x2F6, 0x10), (0x2F8, 0x30), (0x2FA, 0x1B), (0x2FC, 0x23), (0x2FE, 0x3B), (0x302, 0x28),
        })
            Half(at + field, (ushort)value);
    }

    private void Unloaded(int at, string name, uint start)
    {
        Half(at, (ushort)(name.Length * 2));
        Half(at + 2, (ushort)(name.Length * 2));
        Encoding.Unicode.GetBytes(name, _file.AsSpan(at + 8, 24));
        Put(at + 0x20, start);
        Put(at + 0x24, start + 0x9000);
    }

    private int Take(int size)
    {
        var at = _end;
        _end = (at + size + 7) & ~7;
        return at;
    }

    private void Half(int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(_file.AsSpan(at), value);

    private void Put(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_file.AsSpan(at), value);

    private void Wide(int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(_file.AsSpan(at), value);
}
