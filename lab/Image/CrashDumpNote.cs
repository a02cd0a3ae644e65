using System.Buffers.Binary;
using Forengate.Lab.Machine;

namespace Forengate.Lab.Image;

/// <summary>
/// What virtio-win's fwcfg driver leaves in a guest's memory (kvm-guest-drivers-windows, fwcfg64/driver.c, power.c): an ELF note named VMCOREINFO around the header of a complete dump, and a decoded copy of the
/// debugger data block in pool. QEMU's win-dmp is made from the two.
/// </summary>
/// <param name="Address">Guest-physical address of the note.</param>
/// <param name="Size">Bytes of the note, its header included.</param>
/// <param name="Va">Kernel address of the note.</param>
/// <param name="DebuggerBlock">Kernel address of the decoded copy.</param>
internal sealed record CrashDumpNote(ulong Address, uint Size, ulong Va, ulong DebuggerBlock)
{
    private const int NameSize = 11, PaddedNameSize = 12, NoteHeaderSize = 12 + PaddedNameSize;
    private const int HeaderSize = 0x2000;
    // Behind the note in the driver's buffer (CBUF_DATA): the 16-byte entry for fw_cfg and the DMA request of the same size.
    private const int EntryOffset = NoteHeaderSize + HeaderSize, RequestOffset = EntryOffset + 16, BufferSize = RequestOffset + 16;
    private const int BufferPages = (BufferSize + GuestRam.PageSize - 1) / GuestRam.PageSize;
    private const ushort FormatElf = 1;

    // Offsets in DUMP_HEADER64: mindumpdef.h of the Windows SDK.
    private const int ValidDump = 0x04, MajorVersion = 0x08, MinorVersion = 0x0C, DirectoryTableBase = 0x10, PfnDataBase = 0x18, LoadedModuleList = 0x20, ActiveProcessHead = 0x28, MachineImageType = 0x30,
        NumberProcessors = 0x34, BugCheckCode = 0x38, BugCheckParameter1 = 0x40, DebuggerDataBlock = 0x80, NumberOfRuns = 0x88, NumberOfPages = 0x90, FirstRun = 0x98, ContextRecord = 0x348,
        ContextRecordSize = 3000, ExceptionCode = 0xF00, ExceptionFlags = 0xF04, ExceptionRecord = 0xF08, ExceptionAddress = 0xF10, ExceptionParameters = 0xF18, DumpType = 0xF98, SystemTime = 0xFA8,
        SystemUpTime = 0x1030, ProductType = 0x1040, SuiteMask = 0x1044, Attributes = 0x1050, BootId = 0x1054;
    private const int MostRuns = 42;
    private const uint Filler = 0x45474150, Valid = 0x34365544, Amd64 = 0x8664, FullDump = 1, StatusBreakpoint = 0x80000003, NonContinuable = 1;

    public VmCoreInfoNote ForMachine => new(Address, Size);

    /// <summary>Writes it all down, as the driver has when Windows is up.</summary>
    /// <param name="systemDtb">Of the System process, in which the driver starts.</param>
    public static CrashDumpNote Write(TwinParts parts, ulong systemDtb)
    {
        var (space, kdbg) = (parts.System, parts.Kdbg);
        // ExAllocatePool with the tag 'gbdk', as a compiler stores it; the copy is decoded whatever the original is.
        var block = parts.Pool.Allocate("kdbg", kdbg.Decoded.Length);
        space.Write(block, kdbg.Decoded);

        // A common buffer: contiguous to devices, mapped for the driver.
        var pa = space.Memory.AllocateRun(BufferPages);
        var va = parts.Ptes.Reserve(BufferPages);
        for (var i = 0UL; i < BufferPages; i++)
            space.Map(va + i * GuestRam.PageSize, pa + i * GuestRam.PageSize, Pte.KernelData);

        const uint size = NoteHeaderSize + HeaderSize;
        var buffer = new byte[BufferSize];
        // Elf64_Nhdr: sizes of name and content, type.
        BinaryPrimitives.WriteUInt32LittleEndian(buffer, NameSize);
        BinaryPrimitives.WriteUInt32LittleEndian(buffer.AsSpan(4), HeaderSize);
        "VMCOREINFO\0"u8.CopyTo(buffer.AsSpan(12));
        FillHeader(buffer.AsSpan(NoteHeaderSize, HeaderSize), parts, systemDtb, block);
        // QEMU docs/specs/vmcoreinfo.txt: host format, guest format, size, address. The request (fw_cfg.txt) is left with the control word 0: done.
        BinaryPrimitives.WriteUInt16LittleEndian(buffer.AsSpan(EntryOffset + 2), FormatElf);
        BinaryPrimitives.WriteUInt32LittleEndian(buffer.AsSpan(EntryOffset + 4), size);
        BinaryPrimitives.WriteUInt64LittleEndian(buffer.AsSpan(EntryOffset + 8), pa);
        BinaryPrimitives.WriteUInt32BigEndian(buffer.AsSpan(RequestOffset + 4), 16);
        BinaryPrimitives.WriteUInt64BigEndian(buffer.AsSpan(RequestOffset + 8), pa + EntryOffset);
        space.Write(va, buffer);
        return new CrashDumpNote(pa, size, va, block);
    }

    /// <summary>
    /// What KeInitializeCrashDumpHeader(1) leaves: filler, then the fields it knows; RequiredDumpSpace, VersionUser and Comment are not among them. Field by field as published disassembly of IoFillDumpHeader has it, and
    /// as QEMU's corrections in dump/win_dump.c tell. The driver puts the address of its copy into BugCheckParameter1.
    /// </summary>
    private static void FillHeader(Span<byte> header, TwinParts parts, ulong systemDtb, ulong debuggerBlock)
    {
        var (kernel, tables, runs, shared) = (parts.Kernel, parts.Tables, parts.Runs, parts.Shared);
        for (var at = 0; at < header.Length; at += 4)
            U32(header, at, Filler);
        U32(header, ValidDump, Valid);
        U32(header, MajorVersion, 0xF);
        U32(header, MinorVersion, (uint)tables.Build.Build);
        U64(header, DirectoryTableBase, systemDtb & Pte.AddressMask);
        U64(header, PfnDataBase, parts.PfnDatabase);
        U64(header, LoadedModuleList, kernel.AddressOf("PsLoadedModuleList"));
        U64(header, ActiveProcessHead, kernel.AddressOf("PsActiveProcessHead"));
        U32(header, MachineImageType, Amd64);
        U32(header, NumberProcessors, (uint)parts.Cpus);
        U32(header, BugCheckCode, 0);
        for (var i = 0; i < 4; i++)
            U64(header, BugCheckParameter1 + i * 8, 0);
        U64(header, BugCheckParameter1, debuggerBlock);
        U64(header, DebuggerDataBlock, parts.Kdbg.Address);
        if (runs.Count > MostRuns)
            throw new ImageException($"{runs.Count} runs of memory do not fit a dump's header");
        U32(header, NumberOfRuns, (uint)runs.Count);
        U64(header, NumberOfPages, runs.Aggregate(0UL, (sum, r) => sum + r.Pages));
        for (var i = 0; i < runs.Count; i++)
        {
            U64(header, FirstRun + i * 16, runs[i].FirstPage);
            U64(header, FirstRun + i * 16 + 8, runs[i].Pages);
        }
        header.Slice(ContextRecord, ContextRecordSize).Clear();
        U32(header, ExceptionCode, StatusBreakpoint);
        U32(header, ExceptionFlags, NonContinuable);
        U64(header, ExceptionRecord, 0);
        U64(header, ExceptionAddress, 0);
        U32(header, ExceptionParameters, 0);
        U32(header, DumpType, FullDump);
        U64(header, SystemTime, TwinClock.Now);
        U64(header, SystemUpTime, TwinClock.Interrupt);
        U32(header, ProductType, shared.ProductType);
        U32(header, SuiteMask, shared.SuiteMask);
        // Both came with the count of boots in KUSER_SHARED_DATA.
        if (tables.HasField("_KUSER_SHARED_DATA", "BootId"))
        {
            U32(header, Attributes, 0);
            U32(header, BootId, shared.BootId);
        }
    }

    private static void U32(Span<byte> header, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(header[at..], value);

    private static void U64(Span<byte> header, int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(header[at..], value);
}
