using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;
using K = Forengate.Windows.DebuggerDataField;

namespace Forengate.Windows;

/// <summary>The structures of a small dump with the offsets that its KDBG gives, or, of 32-bit Windows whose KDBG ends before them, those of its build.</summary>
internal readonly ref struct SmallDumpStructures
{
    private const uint MachineX86 = 0x14C, MachineAmd64 = 0x8664, MachineArm64 = 0xAA64;

    /// <summary>Low bits of CR3 that are no address: with PAE it has 32-byte steps (Intel SDM vol. 3A, table 4-7).</summary>
    private const uint NoTable = 0x1F;

    private readonly X86Layout? _narrow;

    public SmallDumpStructures(TriageDump dump, ProfileStore profiles)
    {
        Dump = dump;
        Architecture = dump.Header.Machine switch
        {
            MachineX86 when !dump.Header.Is64Bit => GuestArchitecture.X86,
            MachineAmd64 when dump.Header.Is64Bit => GuestArchitecture.X64,
            MachineArm64 when dump.Header.Is64Bit => GuestArchitecture.Arm64,
            _ => null,
        };
        var kdbg = dump.KdbgBytes;
        var least = Architecture == GuestArchitecture.X86 ? DebuggerData.MinX86Size : DebuggerData.MinSize;
        Kdbg = kdbg.Length < least || BinaryPrimitives.ReadUInt32LittleEndian(kdbg[(int)K.OwnerTag..]) != DebuggerData.Tag ? default : kdbg;
        _narrow = Architecture == GuestArchitecture.X86 ? X86Layouts.Of(profiles, dump.Header.Build, Kdbg) : null;
    }

    public TriageDump Dump { get; }

    /// <summary>Null where the header names another machine.</summary>
    public GuestArchitecture? Architecture { get; }

    /// <summary>Empty where the dump has none.</summary>
    public ReadOnlySpan<byte> Kdbg { get; }

    /// <summary>False where nothing says how the structures look.</summary>
    public bool AreKnown => !Kdbg.IsEmpty || _narrow is not null;

    /// <summary>Where the offsets come from, for people.</summary>
    public string How => _narrow is null || SmallDumpReader.Word(Kdbg, K.OffsetPrcbCurrentThread) is not null ? "by KDBG's offsets" : $"by the offsets of build {_narrow.Build}";

    public int PointerSize => Dump.Header.Is64Bit ? sizeof(ulong) : sizeof(uint);

    /// <summary>Windows' number of the processor that crashed.</summary>
    public int? Number
    {
        get
        {
            var at = Offset(K.OffsetPrcbNumber, _narrow?.ProcessorNumber);
            if (Architecture == GuestArchitecture.X86)
                return at is { } one && one < Dump.PrcbBytes.Length ? Dump.PrcbBytes[one] : null;
            return Slice(Dump.PrcbBytes, at, sizeof(uint)) is { Length: > 0 } number ? BinaryPrimitives.ReadInt32LittleEndian(number) : null;
        }
    }

    /// <summary>KSPECIAL_REGISTERS of that processor, or nothing.</summary>
    public ReadOnlySpan<byte> SpecialRegisters =>
        Slice(Dump.PrcbBytes, Offset(K.OffsetPrcbProcStateSpecialReg, _narrow?.SpecialRegisters), Architecture == GuestArchitecture.X86 ? X86SpecialRegistersLayout.Size : SpecialRegistersLayout.MinSize);

    /// <summary>The ETHREAD that ran there.</summary>
    public VirtualAddress? CurrentThread => Object(Pointer(Dump.PrcbBytes, Offset(K.OffsetPrcbCurrentThread, _narrow?.CurrentThread)));

    /// <summary>The EPROCESS whose memory the thread saw.</summary>
    public VirtualAddress? CurrentProcess => Object(Pointer(Dump.ThreadBytes, Offset(K.OffsetKThreadApcProcess, _narrow?.ThreadProcess)));

    /// <summary>Bytes of the EPROCESS, without what follows it in the file.</summary>
    public ReadOnlySpan<byte> Process
    {
        get
        {
            var bytes = Dump.ProcessBytes;
            return Offset(K.SizeEProcess, _narrow?.ProcessSize) is { } size && size < bytes.Length ? bytes[..size] : bytes;
        }
    }

    public ulong? ParentId => Pointer(Process, Offset(K.OffsetEprocessParentCid, _narrow?.ParentId));

    public ulong? Peb => Pointer(Process, Offset(K.OffsetEprocessPeb, _narrow?.Peb));

    /// <summary>Of the process, without the bits that are no address; 0 where there is none.</summary>
    public ulong DirectoryTableBase
    {
        get
        {
            var table = Pointer(Process, Offset(K.OffsetEprocessDirectoryTableBase, _narrow?.DirectoryTableBase)) ?? 0;
            return Architecture == GuestArchitecture.X86 ? table & ~(ulong)NoTable : KernelPointers.TableBase(table);
        }
    }

    /// <summary>A pointer, or a number that is as wide as one; null where the bytes end before it.</summary>
    public ulong? Pointer(ReadOnlySpan<byte> bytes, int? offset) =>
        Slice(bytes, offset, PointerSize) is not { Length: > 0 } value ? null
        : PointerSize == sizeof(uint) ? BinaryPrimitives.ReadUInt32LittleEndian(value) : BinaryPrimitives.ReadUInt64LittleEndian(value);

    private int? Offset(K field, int? ofBuild) => SmallDumpReader.Word(Kdbg, field) ?? ofBuild;

    /// <summary>Only what may be an address of the kernel.</summary>
    private VirtualAddress? Object(ulong? value) =>
        value is { } at && (Dump.Header.Is64Bit ? new VirtualAddress(at).IsKernel : at >= X86KernelStart) ? new VirtualAddress(at) : null;

    /// <summary>Where the kernel's half of 32-bit Windows begins at the earliest (MmSystemRangeStart, 0x80000000 unless the user's half was made larger).</summary>
    private const uint X86KernelStart = 0x8000_0000;

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> bytes, int? offset, int length) => offset is { } at && at + length <= bytes.Length ? bytes.Slice(at, length) : default;
}
