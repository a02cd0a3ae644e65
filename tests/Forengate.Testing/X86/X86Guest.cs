using System.Buffers.Binary;
using System.Text;

namespace Forengate.Testing.X86;

/// <summary>
/// Memory of a small 32-bit Windows laid out by hand, with constants of its own: page tables that map themselves (with and without PAE), a PE32 kernel with exports and a CodeView record,
/// processors, KDBG, processes with a thread each, modules, KUSER_SHARED_DATA.
/// </summary>
public sealed class X86Guest
{
    public const uint Kernel = 0x8260_4000, Hal = 0x8291_0000, Driver = 0x8930_0000, KernelSize = 0x4_0000;
    public const uint Kdbg = Kernel + 0x5000, ProcessHead = Kernel + 0x6100, ModuleHead = Kernel + 0x6200, SystemPointer = Kernel + 0x6000, BuildNumber = Kernel + 0x6010, BuildLab = Kernel + 0x6800;
    public const uint ProcessorBlock = Kernel + 0x6300, BugCheck = Kernel + 0x6400, MemoryBlockPointer = Kernel + 0x6420, VersionBlock = Kernel + 0x6440, DataList = Kernel + 0x6480, PfnPointer = Kernel + 0x6490;
    public const uint MemoryBlock = Pool + 0x8_0000;
    public const uint Pool = 0x8500_0000, Processors = 0x8300_0000, ProcessorSize = 0x1_0000, Gdt = 0x8070_0000, SharedData = 0xFFDF_0000, User = 0x7FFD_8000, PfnDatabase = 0x8400_0000;
    public const ulong Time = 0x01D0_B000_0000_0000;
    public const string Lab = "7601.win7sp1_rtm.101119-1850", CommandLine = "\"C:\\Temp\\a long name of a process.exe\" /x";
    public static readonly Guid Symbols = new("684da42a-30cc-450f-81c5-35b4d18944b1");

    private const uint ImageAt = 0x10_0000, PoolAt = 0x20_0000, ProcessorsAt = 0x15_0000, GdtAt = 0x14_0000, SharedAt = 0x3000, UserAt = 0x14_8000, PoolSize = 0x10_0000, PfnAt = 0x14_7000;
    private const uint HalAt = 0x14_4000, DriverAt = 0x14_5000;

    private readonly byte[] _memory = new byte[0x40_0000];
    private readonly Dictionary<uint, uint> _kernelTables = [];
    private uint _nextTable = 0x4_0000;

    public X86Guest(X86Build build, bool pae, int processors = 2, bool encoded = false)
    {
        (Build, Pae, ProcessorCount) = (build, pae, processors);
        Names = ["System", "smss.exe", "a long name of "];
        Ids = [4, 0x108, 0x3A0];
        for (var i = 0; i < Names.Count; i++)
            Tables.Add(MakeTable(i));
        Map(Kernel, ImageAt, KernelSize);
        Map(Hal, HalAt, 0x1000);
        Map(Driver, DriverAt, 0x1000);
        Map(Pool, PoolAt, PoolSize);
        Map(Processors, ProcessorsAt, (uint)processors * ProcessorSize);
        Map(Gdt, GdtAt, 0x4000);
        Map(PfnDatabase, PfnAt, 0x1000);
        Map(SharedData, SharedAt, 0x1000);
        MapUser(2, User, UserAt);
        MapUser(2, User + 0x1000, UserAt + 0x1000);
        PutImage(ImageAt, KernelSize, "ntkrpamp.pdb", Symbols);
        PutImage(HalAt, 0x1000, "halmacpi.pdb", new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
        PutImage(DriverAt, 0x1000, "disk.pdb", new Guid(2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
        PutExports();
        PutProcesses();
        PutModules();
        PutSharedData();
        PutProcessors();
        PutKdbg(encoded);
    }

    public X86Build Build { get; }

    public bool Pae { get; }

    public int ProcessorCount { get; }

    public IReadOnlyList<string> Names { get; }

    public IReadOnlyList<uint> Ids { get; }

    /// <summary>Page table of each process as CR3 has it.</summary>
    public List<uint> Tables { get; } = [];

    public byte[] Memory => _memory;

    public static uint ProcessAt(int i) => Pool + 0x1000 + ((uint)i * 0x1000);

    public uint Kpcr(int i) => Processors + ((uint)i * ProcessorSize);

    public uint Kprcb(int i) => Kpcr(i) + 0x120;

    /// <summary>Where the CONTEXT lies that a debugger reads.</summary>
    public uint Context(int i) => Kprcb(i) + (uint)Build.State;

    public uint Stack(int i) => Pool + 0x6_0000 + ((uint)i * 0x1000) + 0xF00;

    /// <summary>The block as a debugger must read it.</summary>
    public byte[] PlainKdbg { get; private set; } = [];

    public static uint GdtOf(int i) => Gdt + ((uint)i * 0x1000);

    /// <summary>Physical address of a kernel address.</summary>
    public uint Physical(uint address) => Lookup(0, address) ?? throw new ArgumentException($"0x{address:x} is not mapped", nameof(address));

    public void Put32(uint address, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(At(address), value);

    public void Put64(uint address, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(At(address), value);

    public void Put16(uint address, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(At(address), value);

    public uint Get32(uint address) => BinaryPrimitives.ReadUInt32LittleEndian(At(address));

    public Span<byte> At(uint address) => _memory.AsSpan((int)Physical(address));

    private void PutImage(uint at, uint size, string pdb, Guid guid)
    {
        var image = _memory.AsSpan((int)at);
        void D(int offset, uint value, Span<byte> image) => BinaryPrimitives.WriteUInt32LittleEndian(image[offset..], value);
        D(0, 0x5A4D, image);
        D(0x3C, 0x80, image);
        D(0x80, 0x4550, image);
        D(0x84, 0x14C, image);
        D(0x88, 0x4CE7_BA35, image);
        D(0x94, 0x0102_00E0, image);
        D(0x98, 0x10B, image);
        D(0x98 + 16, 0x400, image);
        D(0x98 + 28, Kernel, image);
        D(0x98 + 32, 0x1000, image);
        D(0x98 + 36, 0x200, image);
        D(0x98 + 56, size, image);
        D(0x98 + 60, 0x400, image);
        D(0x98 + 68, 1, image);
        D(0x98 + 92, 16, image);
        D(0x98 + 96 + (6 * 8), 0x300, image);
        D(0x98 + 96 + (6 * 8) + 4, 28, image);
        D(0x300 + 12, 2, image);
        D(0x300 + 16, (uint)(24 + pdb.Length + 1), image);
        D(0x300 + 20, 0x340, image);
        D(0x300 + 24, 0x340, image);
        D(0x340, 0x5344_5352, image);
        guid.TryWriteBytes(image[0x344..]);
        D(0x354, 1, image);
        Encoding.ASCII.GetBytes(pdb, image[0x358..]);
    }

    private void PutExports()
    {
        (string Name, uint At)[] exports = Build.Build < 6000
            ? [("NtBuildNumber", BuildNumber), ("PsInitialSystemProcess", SystemPointer)]
            : [("NtBuildNumber", BuildNumber), ("PsInitialSystemProcess", SystemPointer), ("PsLoadedModuleList", ModuleHead)];
        Put32(Kernel + 0x98 + 96, 0x1000);
        Put32(Kernel + 0x98 + 100, 0x400);
        const uint directory = Kernel + 0x1000;
        var count = (uint)exports.Length;
        Put32(directory + 12, 0x1300);
        Encoding.ASCII.GetBytes("ntoskrnl.exe", At(Kernel + 0x1300));
        Put32(directory + 16, 1);
        Put32(directory + 20, count);
        Put32(directory + 24, count);
        Put32(directory + 28, 0x1040);
        Put32(directory + 32, 0x1080);
        Put32(directory + 36, 0x10C0);
        for (var i = 0u; i < count; i++)
        {
            Put32(Kernel + 0x1040 + (i * 4), exports[i].At - Kernel);
            Put32(Kernel + 0x1080 + (i * 4), 0x1100 + (i * 0x40));
            Put16(Kernel + 0x10C0 + (i * 2), (ushort)i);
            Encoding.ASCII.GetBytes(exports[i].Name, At(Kernel + 0x1100 + (i * 0x40)));
        }
        Put32(BuildNumber, 0xF000_0000 | Build.Build);
        Encoding.ASCII.GetBytes(Lab, At(BuildLab));
    }

    private void PutProcesses()
    {
        for (var i = 0; i < Names.Count; i++)
        {
            var at = ProcessAt(i);
            Put32(at, 0x0026_0003);
            Put32(at + 0x18, Tables[i]);
            Put32(at + (uint)Build.Pid, Ids[i]);
            Put32(at + (uint)Build.Parent, i == 0 ? 0 : Ids[i - 1]);
            Encoding.ASCII.GetBytes(Names[i], At(at + (uint)Build.Name));
            Put64(at + (uint)Build.Created, Time - 100_000_000 + (ulong)i);
            Put32(at + (uint)Build.Peb, i == 2 ? User : 0);
            Put32(at + (uint)Build.ActiveThreads, 1);
            var thread = at + 0x800;
            Link(at + (uint)Build.Threads, thread + (uint)Build.ThreadEntry);
            Put32(thread + (uint)Build.ThreadProcess, at);
            Put32(thread, 6);
        }
        Link([ProcessHead, .. Enumerable.Range(0, Names.Count).Select(i => ProcessAt(i) + (uint)Build.Links)]);
        Put32(SystemPointer, ProcessAt(0));

        const uint parameters = User + 0x1000;
        void User32(uint address, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_memory.AsSpan((int)(UserAt + address - User)), value);
        User32(User + 0x10, parameters);
        PutUserText(parameters + 0x38, parameters + 0x100, "C:\\Temp\\a long name of a process.exe");
        PutUserText(parameters + 0x40, parameters + 0x200, CommandLine);

        void PutUserText(uint descriptor, uint buffer, string text)
        {
            User32(descriptor, (uint)(text.Length * 2) | ((uint)(text.Length * 2) << 16));
            User32(descriptor + 4, buffer);
            Encoding.Unicode.GetBytes(text, _memory.AsSpan((int)(UserAt + buffer - User)));
        }
    }

    private void PutModules()
    {
        (string Name, string Path, uint Base, uint Size)[] modules =
        [
            ("ntoskrnl.exe", "\\SystemRoot\\system32\\ntkrnlpa.exe", Kernel, KernelSize),
            ("hal.dll", "\\SystemRoot\\system32\\halmacpi.dll", Hal, 0x1000),
            ("disk.sys", "\\SystemRoot\\System32\\drivers\\disk.sys", Driver, 0x1000),
        ];
        var links = new List<uint> { ModuleHead };
        for (var i = 0; i < modules.Length; i++)
        {
            var at = Pool + 0x4_0000 + ((uint)i * 0x400);
            links.Add(at);
            Put32(at + 0x18, modules[i].Base);
            Put32(at + 0x1C, modules[i].Base + 0x400);
            Put32(at + 0x20, modules[i].Size);
            PutText(at + 0x24, at + 0x100, modules[i].Path);
            PutText(at + 0x2C, at + 0x200, modules[i].Name);
            Put32(at + 0x44, 0x4CE7_BA35);
        }
        Link([.. links]);
    }

    private void PutText(uint descriptor, uint buffer, string text)
    {
        Put16(descriptor, (ushort)(text.Length * 2));
        Put16(descriptor + 2, (ushort)(text.Length * 2));
        Put32(descriptor + 4, buffer);
        Encoding.Unicode.GetBytes(text, At(buffer));
    }

    private void PutSharedData()
    {
        Put64(SharedData + 0x08, 36_000_000_000);
        Put32(SharedData + 0x10, (uint)(36_000_000_000 >> 32));
        Put64(SharedData + 0x14, Time);
        Put32(SharedData + 0x1C, (uint)(Time >> 32));
        Encoding.Unicode.GetBytes("C:\\Windows", At(SharedData + 0x30));
        Put32(SharedData + 0x260, Build.Major >= 10 ? Build.Build : 0);
        Put32(SharedData + 0x264, 1);
        Put32(SharedData + 0x26C, Build.Major);
        Put32(SharedData + 0x270, Build.Minor);
        Put32(SharedData + 0x2D0, 0x110);
        Put32(SharedData + 0x2E8, (uint)(_memory.Length / 0x1000));
    }

    private void PutProcessors()
    {
        for (var i = 0; i < ProcessorCount; i++)
        {
            var (pcr, prcb) = (Kpcr(i), Kprcb(i));
            Put32(pcr + 0x1C, pcr);
            Put32(pcr + 0x20, prcb);
            Put32(pcr + 0x34, i == 0 ? VersionBlock : 0);
            Put32(pcr + 0x38, GdtOf(i) + 0x400);
            Put32(pcr + 0x3C, GdtOf(i));
            Put16(prcb, 1);
            Put16(prcb + 2, 1);
            Put32(prcb + 4, ProcessAt(i % Names.Count) + 0x800);
            At(prcb + (uint)Build.Number)[0] = (byte)i;
            Put32(ProcessorBlock + ((uint)i * 4), prcb);
            PutContext(i, prcb + (uint)Build.State);
            if (Build.ContextPointer != 0)
                Put32(prcb + (uint)Build.ContextPointer, prcb + (uint)Build.State);
            PutDescriptor(i, 0x08, 0, 0xFFFFF, 0xC09B);
            PutDescriptor(i, 0x10, 0, 0xFFFFF, 0xC093);
            PutDescriptor(i, 0x18, 0, 0xFFFFF, 0xC0FB);
            PutDescriptor(i, 0x20, 0, 0xFFFFF, 0xC0F3);
            PutDescriptor(i, 0x30, pcr, 0x3748, 0x4093);
        }
    }

    /// <summary>A segment descriptor (Intel SDM vol. 3, 3.4.5).</summary>
    private void PutDescriptor(int processor, uint selector, uint start, uint limit, uint flags)
    {
        Put32(GdtOf(processor) + selector, (limit & 0xFFFF) | (start << 16));
        Put32(GdtOf(processor) + selector + 4, (start >> 16 & 0xFF) | ((flags & 0xFF) << 8) | (limit & 0xF0000) | ((flags & 0xF000) << 8) | (start & 0xFF00_0000));
    }

    private void PutContext(int i, uint at)
    {
        Put32(at, 0x1_001F);
        Put32(at + 0x90, 0x30);
        Put32(at + 0x94, 0x23);
        Put32(at + 0x98, 0x23);
        Put32(at + 0xB0, 0xA0 + (uint)i);
        Put32(at + 0xB4, Stack(i) + 0x20);
        Put32(at + 0xB8, Kernel + 0x2000 + (uint)i);
        Put32(at + 0xBC, 8);
        Put32(at + 0xC0, 0x202);
        Put32(at + 0xC4, Stack(i));
        Put32(at + 0xC8, 0x10);
        var special = at + 0x2CC;
        Put32(special, 0x8001_003B);
        Put32(special + 8, Tables[0]);
        Put32(special + 12, Pae ? 0x6F8u : 0x6D8u);
        Put16(special + 0x28 + 2, 0x3FF);
        Put32(special + 0x28 + 4, GdtOf(i));
        Put16(special + 0x30 + 2, 0x7FF);
        Put32(special + 0x30 + 4, GdtOf(i) + 0x400);
        Put16(special + 0x38, 0x28);
    }

    private void PutKdbg(bool encoded)
    {
        static ulong Extend(uint address) => (ulong)(int)address;
        void Field(int offset, uint address) => Put64(Kdbg + (uint)offset, Extend(address));
        Link(DataList, Kdbg);
        Put32(Kdbg + 0x10, 0x4742_444B);
        Put32(Kdbg + 0x14, (uint)Build.KdbgSize);
        Field(0x18, Kernel);
        Field(0x48, ModuleHead);
        Field(0x50, ProcessHead);
        Field(0x88, BugCheck);
        Field(0xC0, PfnPointer);
        Put64(Kdbg + 0x138, 0x1000);
        Put64(Kdbg + 0x1D0, Extend(0x8000_0000));
        Field(0x208, BuildLab);
        Field(0x218, ProcessorBlock);
        Field(0x270, MemoryBlockPointer);
        void Word(int offset, int value)
        {
            if (offset + 2 <= Build.KdbgSize)
                Put16(Kdbg + (uint)offset, (ushort)value);
        }
        Word(0x36, Pae ? 1 : 0);
        Word(0x2A2, 0x68);
        Word(0x2A0, Build.ThreadProcess);
        Word(0x2A8, 0x400);
        Word(0x2AA, Build.Peb);
        Word(0x2AC, Build.Parent);
        Word(0x2AE, 0x18);
        Word(0x2B0, 0x5000);
        Word(0x2B4, 4);
        Word(0x2BC, Build.State);
        Word(0x2BE, Build.Number);
        Word(0x2C0, 0x400);
        Word(0x2E0, 0x6020);
        Word(0x2E2, 0x1C);
        Word(0x2E4, 0x20);
        Word(0x2E6, 0x120);
        Word(0x2F2, Build.State + 0x2CC);
        Word(0x2F4, 8);
        Word(0x2F6, 0x10);
        Word(0x2F8, 0x30);
        Word(0x2FA, 0x18);
        Word(0x2FC, 0x20);
        Word(0x2FE, 0x38);
        Word(0x338, Build.ContextPointer);
        Put32(PfnPointer, PfnDatabase);
        Put32(MemoryBlockPointer, MemoryBlock);
        Put32(MemoryBlock, 2);
        Put32(MemoryBlock + 4, 0x9E + 0x300);
        Put32(MemoryBlock + 8, 1);
        Put32(MemoryBlock + 12, 0x9E);
        Put32(MemoryBlock + 16, 0x100);
        Put32(MemoryBlock + 20, 0x300);
        Put16(VersionBlock, 0xF);
        Put16(VersionBlock + 2, (ushort)Build.Build);
        Put16(VersionBlock + 6, 3);
        Put16(VersionBlock + 8, 0x14C);
        Put64(VersionBlock + 0x10, Extend(Kernel));
        Put64(VersionBlock + 0x18, Extend(ModuleHead));
        Put64(VersionBlock + 0x20, Extend(DataList));
        PlainKdbg = At(Kdbg)[..Build.KdbgSize].ToArray();
        if (!encoded)
            return;
        // Each qword E is plain P by P = bswap(rol(E, 13)) ^ C.
        for (var i = 0u; i < Build.KdbgSize; i += 8)
            Put64(Kdbg + i, ulong.RotateRight(BinaryPrimitives.ReverseEndianness(BinaryPrimitives.ReadUInt64LittleEndian(PlainKdbg.AsSpan((int)i)) ^ 0x1234_5678_9ABC_DEF1), 13));
    }

    private void Link(params ReadOnlySpan<uint> entries)
    {
        for (var i = 0; i < entries.Length; i++)
        {
            var next = entries[(i + 1) % entries.Length];
            Put32(entries[i], next);
            Put32(next + 4, entries[i]);
        }
    }

    private uint MakeTable(int process)
    {
        if (!Pae)
        {
            var directory = 0x1_0000 + ((uint)process * 0x1000);
            Physical32(directory + (0x300 * 4)) = directory | 0x63;
            return directory;
        }
        var table = 0x8000 + ((uint)process * 0x20) + 0x2E0;
        for (var gib = 0u; gib < 4; gib++)
        {
            var directory = 0x1_0000 + ((((uint)process * 4) + gib) * 0x1000);
            Physical32(table + (gib * 8)) = directory | 1;
            for (var i = 0u; gib == 3 && i < 4; i++)
                Physical32(directory + (i * 8)) = (directory - ((3 - i) * 0x1000)) | 0x63;
        }
        return table;
    }

    private ref uint Physical32(uint at) => ref System.Runtime.InteropServices.MemoryMarshal.Cast<byte, uint>(_memory.AsSpan((int)at, 4))[0];

    /// <summary>Maps kernel addresses in all processes, through shared tables.</summary>
    private void Map(uint address, uint physical, uint size)
    {
        for (var offset = 0u; offset < size; offset += 0x1000)
        {
            var slot = (address + offset) >> (Pae ? 21 : 22);
            if (!_kernelTables.TryGetValue(slot, out var table))
            {
                _kernelTables[slot] = table = _nextTable;
                _nextTable += 0x1000;
                for (var i = 0; i < Tables.Count; i++)
                    Physical32(DirectoryEntry(i, address + offset)) = table | 0x63;
            }
            Physical32(table + Entry(address + offset)) = (physical + offset) | 0x63;
        }
    }

    private void MapUser(int process, uint address, uint physical)
    {
        ref var entry = ref Physical32(DirectoryEntry(process, address));
        if (entry == 0)
        {
            entry = _nextTable | 0x67;
            _nextTable += 0x1000;
        }
        Physical32((entry & ~0xFFFu) + Entry(address)) = physical | 0x67;
    }

    private uint Entry(uint address) => Pae ? (address >> 12 & 511) * 8 : (address >> 12 & 1023) * 4;

    private uint DirectoryEntry(int process, uint address) => Pae
        ? (Physical32(Tables[process] + ((address >> 30) * 8)) & ~0xFFFu) + ((address >> 21 & 511) * 8)
        : Tables[process] + ((address >> 22) * 4);

    private uint? Lookup(int process, uint address)
    {
        var entry = Physical32(DirectoryEntry(process, address));
        if ((entry & 1) == 0)
            return null;
        var page = Physical32((entry & ~0xFFFu) + Entry(address));
        return (page & 1) == 0 ? null : (page & ~0xFFFu) | (address & 0xFFF);
    }
}
