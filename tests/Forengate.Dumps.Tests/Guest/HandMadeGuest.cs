using System.Buffers.Binary;
using System.Text;
using Forengate.Memory;
using Forengate.Windows;
using C = Forengate.Windows.Amd64ContextLayout;
using F = Forengate.Windows.DebuggerDataField;

namespace Forengate.Dumps.Tests;

/// <summary>
/// The least of a Windows kernel that a debugger asks for, made by hand in 16 MiB: page tables, KUSER_SHARED_DATA, KDBG, module and process lists, processors with their
/// tables, threads and stacks. Pages that follow each other to the kernel never do so in memory.
/// </summary>
internal sealed class HandMadeGuest
{
    public const ulong MemorySize = 16 << 20;
    public const ulong Kernel = 0xFFFFF800_10000000;
    /// <summary>KDBG lies across a page boundary.</summary>
    public const ulong Kdbg = Kernel + 0x2F00;
    public const ulong Flag = Kernel + 0x1800;
    public const ulong ModuleHead = Kernel + 0x1900;
    public const ulong ProcessHead = Kernel + 0x1940;
    private const ulong PfnVariable = Kernel + 0x1980;
    private const ulong BlockArray = Kernel + 0x1A00;
    private const ulong VersionBlock = Kernel + 0x1C00;
    public const ulong PfnDatabase = 0xFFFFFA80_00000000;
    public const ulong Drivers = 0xFFFFF880_00100000;
    public const ulong SystemProcess = 0xFFFFF880_00104000;
    private const int ProcessLinks = 0x448, ProcessTable = 0x28, ProcessPeb = 0x550, ThreadProcess = 0xB8;
    public const ulong ProcessorArea = 0xFFFFF880_00200000;
    public const int ContainedPrcb = 0x180, PrcbSize = 0x7000, ProcessorState = 0x40, SpecialSize = 0xE0, ContextPointer = 0x6500;
    private const ulong Tables = 0x10000, Thread = 0x11000, ContextPage = 0x12FC0, StackTop = 0x20000, Stride = 0x40000;
    public const ulong KeyRotation = 13, KeyConstant = 0x1122_3344_5566_7788;

    private readonly byte[] _memory = new byte[MemorySize];
    private ulong _nextFrame = (MemorySize >> Page.Shift) - 2;

    public HandMadeGuest(int processors = 2, bool encoded = false)
    {
        DirectoryTableBase = Allocate() << Page.Shift;
        Processors = processors;
        Encoded = encoded;
        MakeShared();
        MakeKernel();
        MakeLists();
        for (var i = 0; i < processors; i++)
            MakeProcessor(i);
        MakeKdbg();
    }

    public ulong DirectoryTableBase { get; }

    public int Processors { get; }

    public bool Encoded { get; }

    public byte[] PlainKdbg { get; private set; } = [];

    /// <summary>Two ranges, with a hole at 640 KiB as PCs have it.</summary>
    public static IReadOnlyList<PhysicalRange> Ranges { get; } =
        [new(new(0), 0xA0000), new(new(0x100000), MemorySize - 0x100000)];

    /// <summary>What Windows uses of it: not the first page.</summary>
    public static IReadOnlyList<PhysicalRange> Block { get; } =
        [new(new(0x1000), 0x9F000), new(new(0x100000), MemorySize - 0x100000)];

    public ArrayMemory Memory() => new((byte[])_memory.Clone(), Ranges);

    public static ulong Kpcr(int i) => ProcessorArea + ((ulong)i * Stride);

    public static ulong Kprcb(int i) => Kpcr(i) + ContainedPrcb;

    public static ulong Context(int i) => Kpcr(i) + ContextPage;

    public static ulong Stack(int i) => Kpcr(i) + StackTop - 0x200 - ((ulong)i * 0x10);

    /// <summary>Registers as a hypervisor would tell them. vCPUs are numbered backwards: their number is not Windows'.</summary>
    public IReadOnlyList<CpuState> Cpus() => [.. Enumerable.Range(0, Processors).Reverse().Select((windows, index) => Cpu(windows) with { Index = index })];

    public CpuState Cpu(int i) => new()
    {
        Index = i,
        Rax = 0xA0 + (ulong)i, Rbx = 0xB0, Rcx = 0xC0, Rdx = 0xD0, Rsi = 1, Rdi = 2, Rbp = 3, R8 = 8, R9 = 9, R10 = 10, R11 = 11, R12 = 12, R13 = 13, R14 = 14, R15 = 15,
        Rip = Kernel + 0x100 + (ulong)i, Rsp = Stack(i), Rflags = 0x246,
        Cs = new(0x10), Ds = new(0x2B), Es = new(0x2B), Fs = new(0x53, 0), Gs = new(0x2B, Kpcr(i)), Ss = new(0x18), Tr = new(0x40), Ldtr = new(0),
        Gdtr = new(Kpcr(i) + Tables, 0x57), Idtr = new(Kpcr(i) + Tables + 0x100, 0xFFF),
        Cr0 = 0x80050031, Cr2 = 0, Cr3 = DirectoryTableBase, Cr4 = 0x6F8, Cr8 = 2, Dr0 = 0, Dr1 = 0, Dr2 = 0, Dr3 = 0, Dr6 = 0xFFFF0FF0, Dr7 = 0x400,
        KernelGsBase = 0x7FF0_0000_0000 + (ulong)i, Star = 0x0023001000000000, LStar = Kernel + 0x300, CStar = Kernel + 0x340, SfMask = 0x4700,
        MxCsr = 0x1F80, Fcw = 0x27F, Fsw = 0, Ftw = 0, St = new byte[128], Xmm = Enumerable.Range(0, 256).Select(x => (byte)x).ToArray(),
    };

    /// <summary>The facts that the Windows room would have found.</summary>
    public DumpFacts Facts(ArrayMemory? memory = null, bool withRegisters = true)
    {
        memory ??= Memory();
        var cpus = withRegisters ? Cpus() : [];
        var view = new View(memory, cpus, new Consistency(ConsistencyLevel.Instant, "made by hand"), new ViewOrigin { Target = "hand", Format = "test" });
        return new DumpFacts
        {
            View = view,
            Kernel = new WindowsAddressSpace(memory, DirectoryTableBase),
            Version = new KernelVersion { Major = 10, Minor = 0, Build = 19041, KdMajor = 0xF, KdMinor = 19041, KdSecondaryVersion = 2 },
            Kdbg = new DebuggerBlock(new(Kdbg), PlainKdbg, Encoded, new VirtualAddress(Flag)),
            PsLoadedModuleList = new(ModuleHead),
            PsActiveProcessHead = new(ProcessHead),
            Processors = [.. Enumerable.Range(0, Processors).Select(i => new Processor
            {
                Number = i, Kpcr = new(Kpcr(i)), Kprcb = new(Kprcb(i)), Context = new(Context(i)), ContextFrame = new(Kprcb(i) + ProcessorState + SpecialSize),
                SpecialRegisters = new(Kprcb(i) + ProcessorState), Cpu = cpus.FirstOrDefault(cpu => cpu.Gs?.Base == Kpcr(i)), MatchedBy = withRegisters ? "GS base" : "no registers in the image",
                CurrentProcessId = i == 0 ? 0ul : 4ul,
            })],
            Shared = new SharedUserData
            {
                SystemTime = 133_000_000_000_000_000, InterruptTime = 36_000_000_000, TimeZoneBias = 0, NtMajorVersion = 10, NtMinorVersion = 0, NtProductType = 1, SuiteMask = 0x110,
                BootId = 7, NtSystemRoot = @"C:\Windows", NumberOfPhysicalPages = 4096, KdDebuggerEnabled = 0,
            },
            MemoryBlock = Block,
        };
    }

    /// <summary>Writes guest memory by virtual address, page by page.</summary>
    public void Write(ulong va, ReadOnlySpan<byte> bytes)
    {
        for (var done = 0; done < bytes.Length;)
        {
            var here = new VirtualAddress(va + (ulong)done);
            var piece = Math.Min(bytes.Length - done, Page.Size - here.PageOffset);
            bytes.Slice(done, piece).CopyTo(_memory.AsSpan((int)Physical(here.Value)));
            done += piece;
        }
    }

    /// <summary>Physical address of a virtual one; maps its page where it is not.</summary>
    public ulong Physical(ulong va)
    {
        var table = DirectoryTableBase;
        for (var level = 4; ; level--)
        {
            var slot = (int)(table + (((va >> (12 + (9 * (level - 1)))) & 511) * 8));
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(_memory.AsSpan(slot));
            if ((entry & 1) == 0)
                BinaryPrimitives.WriteUInt64LittleEndian(_memory.AsSpan(slot), entry = (Allocate() << Page.Shift) | 0x63);
            table = entry & PageTableEntry.AddressMask;
            if (level == 1)
                return table + (va & Page.OffsetMask);
        }
    }

    /// <summary>The mapping of one page is taken away.</summary>
    public void Unmap(ulong va)
    {
        var table = DirectoryTableBase;
        for (var level = 4; level > 1; level--)
            table = BinaryPrimitives.ReadUInt64LittleEndian(_memory.AsSpan((int)(table + (((va >> (12 + (9 * (level - 1)))) & 511) * 8)))) & PageTableEntry.AddressMask;
        BinaryPrimitives.WriteUInt64LittleEndian(_memory.AsSpan((int)(table + (((va >> 12) & 511) * 8))), 0);
    }

    private ulong Allocate() => _nextFrame -= 2;

    private void Qword(ulong va, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Write(va, bytes);
    }

    private void Dword(ulong va, uint value) => Write(va, BitConverter.GetBytes(value));

    private void MakeShared()
    {
        var shared = DebuggerEye.SharedDataAddress.Value;
        Qword(shared + 0x14, 133_000_000_000_000_000);
        Qword(shared + 0x08, 36_000_000_000);
        Write(shared + 0x30, Encoding.Unicode.GetBytes(@"C:\Windows"));
        Dword(shared + 0x264, 1);
        Dword(shared + 0x26C, 10);
        Dword(shared + 0x2D0, 0x110);
        Qword(shared + 0x3D8, 7);
        Dword(shared + 0x3E8, 832);
    }

    /// <summary>PE32+ header with the least a debugger wants to see of an image.</summary>
    private void MakeKernel()
    {
        var image = new byte[0x200];
        BinaryPrimitives.WriteUInt16LittleEndian(image, 0x5A4D);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(0x3C), 0x80);
        "PE\0\0"u8.CopyTo(image.AsSpan(0x80));
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x84), 0x8664);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(0x88), 0x5E000000);
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x94), 0xF0);
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(0x98), 0x20B);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(0x98 + 56), 0x800000);
        Write(Kernel, image);
        Qword(PfnVariable, PfnDatabase);
        Write(Flag, [(byte)(Encoded ? 1 : 0)]);
        Write(VersionBlock, [0x0F, 0, 0x61, 0x4A, 6, 2, 0x47, 0, 0x64, 0x86]);
        Qword(VersionBlock + 0x10, Kernel);
        Qword(VersionBlock + 0x18, ModuleHead);
        Qword(VersionBlock + 0x20, Kdbg);
        Physical(Kdbg);
        Physical(Kdbg + 0x360);
    }

    private void MakeLists()
    {
        string[] names = ["ntoskrnl.exe", "hal.dll", "kdcom.dll"];
        var heads = names.Select((_, i) => Drivers + ((ulong)i * 0x400)).ToArray();
        Link(ModuleHead, heads);
        for (var i = 0; i < names.Length; i++)
        {
            Qword(heads[i] + 0x30, i == 0 ? Kernel : Kernel + 0x1000000 + ((ulong)i * 0x100000));
            Dword(heads[i] + 0x40, 0x800000u >> (i * 4));
            UnicodeString(heads[i] + 0x48, heads[i] + 0x100, @"\SystemRoot\system32\" + names[i]);
            UnicodeString(heads[i] + 0x58, heads[i] + 0x200, names[i]);
        }
        ulong[] processes = [SystemProcess, SystemProcess + 0x1000];
        Link(ProcessHead, [.. processes.Select(process => process + ProcessLinks)]);
        foreach (var process in processes)
            Qword(process + ProcessTable, DirectoryTableBase);
    }

    private void UnicodeString(ulong at, ulong buffer, string text)
    {
        var bytes = Encoding.Unicode.GetBytes(text);
        Write(at, BitConverter.GetBytes((ushort)bytes.Length));
        Write(at + 2, BitConverter.GetBytes((ushort)bytes.Length));
        Qword(at + 8, buffer);
        Write(buffer, bytes);
    }

    private void Link(ulong head, ulong[] entries)
    {
        ulong[] ring = [head, .. entries];
        for (var i = 0; i < ring.Length; i++)
        {
            Qword(ring[i], ring[(i + 1) % ring.Length]);
            Qword(ring[i] + 8, ring[(i + ring.Length - 1) % ring.Length]);
        }
    }

    private void MakeProcessor(int i)
    {
        var (kpcr, prcb) = (Kpcr(i), Kprcb(i));
        for (var page = 0UL; page < PrcbSize + 0x200; page += Page.Size)
            Physical(kpcr + page);
        Qword(BlockArray + ((ulong)i * 8), prcb);
        Qword(kpcr + 0x00, kpcr + Tables);
        Qword(kpcr + 0x18, kpcr);
        Qword(kpcr + 0x20, prcb);
        Qword(kpcr + 0x38, kpcr + Tables + 0x100);
        Dword(prcb + 0x24, (uint)i);
        Qword(prcb + 0x08, kpcr + Thread);
        Qword(prcb + ContextPointer, Context(i));
        // GDT: 64-bit kernel code at 0x10, data at 0x18, user code at 0x30, 64-bit TSS at 0x40.
        Qword(kpcr + Tables + 0x10, 0x00209B0000000000);
        Qword(kpcr + Tables + 0x18, 0x00CF93000000FFFF);
        Qword(kpcr + Tables + 0x30, 0x0020FB0000000000);
        Qword(kpcr + Tables + 0x40, 0x00008B0000000067);
        for (var gate = 0UL; gate < 256; gate++)
        {
            var handler = Kernel + 0x400;
            Qword(kpcr + Tables + 0x100 + (gate * 16), (handler & 0xFFFF) | (0x10UL << 16) | (0x8E00UL << 32) | ((handler >> 16 & 0xFFFF) << 48));
            Qword(kpcr + Tables + 0x108 + (gate * 16), handler >> 32);
        }
        Qword(kpcr + Thread + 0x28, kpcr + StackTop);
        Qword(kpcr + Thread + ThreadProcess, SystemProcess);
        for (var page = 0x1000UL; page <= 0x6000; page += Page.Size)
            Physical(kpcr + StackTop - page);
        Physical(Context(i));
        Physical(Context(i) + C.Size);
    }

    private void MakeKdbg()
    {
        var block = new byte[0x368];
        Set(F.ListFlink, VersionBlock + 0x100);
        Set(F.ListBlink, VersionBlock + 0x100);
        Qword(VersionBlock + 0x100, Kdbg);
        Qword(VersionBlock + 0x108, Kdbg);
        BinaryPrimitives.WriteUInt32LittleEndian(block.AsSpan((int)F.OwnerTag), DebuggerData.Tag);
        BinaryPrimitives.WriteUInt32LittleEndian(block.AsSpan((int)F.Size), (uint)block.Length);
        Set(F.KernBase, Kernel);
        Set(F.PsLoadedModuleList, ModuleHead);
        Set(F.PsActiveProcessHead, ProcessHead);
        Set(F.MmPfnDatabase, PfnVariable);
        Set(F.KiProcessorBlock, BlockArray);
        Set(F.MmPageSize, Page.Size);
        Word(F.OffsetKThreadInitialStack, 0x28);
        Word(F.OffsetKThreadTeb, 0xF0);
        Word(F.OffsetKThreadApcProcess, ThreadProcess);
        Word(F.OffsetEprocessDirectoryTableBase, ProcessTable);
        Word(F.OffsetEprocessPeb, ProcessPeb);
        Word(F.SizePrcb, PrcbSize);
        Word(F.OffsetPrcbCurrentThread, 0x08);
        Word(F.OffsetPrcbNumber, 0x24);
        Word(F.OffsetPrcbProcStateContext, ProcessorState + SpecialSize);
        Word(F.OffsetPrcbProcStateSpecialReg, ProcessorState);
        Word(F.OffsetPcrSelfPcr, 0x18);
        Word(F.OffsetPcrCurrentPrcb, 0x20);
        Word(F.OffsetPcrContainedPrcb, ContainedPrcb);
        Word(F.OffsetPrcbContext, ContextPointer);
        Word(F.GdtR0Code, 0x10);
        Word(F.GdtR0Data, 0x18);
        PlainKdbg = (byte[])block.Clone();
        if (Encoded)
        {
            for (var at = 0; at < block.Length; at += 8)
            {
                var word = BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(at));
                word = System.Numerics.BitOperations.RotateRight(BinaryPrimitives.ReverseEndianness(word ^ KeyConstant), (int)KeyRotation);
                BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan(at), word);
            }
        }
        Write(Kdbg, block);

        void Set(F field, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan((int)field), value);
        void Word(F field, int value) => BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan((int)field), (ushort)value);
    }
}
