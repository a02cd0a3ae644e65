using System.Buffers.Binary;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Forengate.Lab.Machine;

/// <summary>
/// The twin's whole firmware: 64 KiB at the top of the 4 GiB space, passed to QEMU by <c>-bios</c>. It takes every CPU from the reset vector to where its
/// <see cref="CpuStart"/> says it is, and uses no RAM of its own: code, page tables and records are constants.
/// </summary>
/// <remarks>
/// Layout: 0x0000 real-mode entry (also where SIPI vector 0xF0 leads, through the alias below 1 MiB), 0x0080 GDT, 0x0100 32-bit code, 0x0200 64-bit code,
/// 0x1000 top-level table, 0x2000 PDPT, 0x3000 page directory, 0x4000 one <see cref="BootRecord"/> a CPU, 0xC000 data for fw_cfg,
/// 0xE000 with five levels the PML4 of the lower half, 0xFFF0 reset vector.
/// The top-level table is the kernel half of the plan's own plus one entry that maps the ROM and the local APIC at their physical addresses: so the ROM sees GDT, TSS,
/// counter page and guest code while it runs, and leaves through a few bytes of guest code that are mapped under the final tables too.
/// </remarks>
public static class BootRom
{
    /// <summary>Bytes of ROM.</summary>
    public const int Size = 0x10000;

    /// <summary>Most CPUs a machine can have: one record each fits.</summary>
    public const int MaximumCpus = 64;

    private const uint Base = 0xFFFF0000;
    private const int GdtOffset = 0x80, GdtPointerOffset = 0xA8, Code32Offset = 0x100, Code64Offset = 0x200;
    private const int TopTableOffset = 0x1000, PdptOffset = 0x2000, PdOffset = 0x3000, RecordsOffset = 0x4000, NoteDataOffset = 0xC000, SecondTableOffset = 0xE000, ResetOffset = 0xFFF0;
    private const ushort Code32Selector = 0x08, DataSelector = 0x10, Code64Selector = 0x18;

    private const uint LocalApic = 0xFEE00000;
    private const int InterruptCommand = 0x300;
    // All but self, edge asserted: INIT, and start-up with vector 0xF0 (F000:0000).
    private const uint InitOthers = 0x000C4500, StartOthers = 0x000C46F0;
    // Above any RAM below 4 GiB, below the APICs.
    private const uint VideoMemory = 0xFD000000;
    private const uint EferMsr = 0xC0000080;

    /// <summary>Builds the ROM for a plan.</summary>
    /// <exception cref="BootPlanException">The plan cannot be booted; the message says why.</exception>
    public static byte[] Build(BootPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        BootPlanCheck.Check(plan);
        var code = GuestCode.Assemble(plan.Code);
        var rom = new byte[Size];
        Place(rom, 0, 0x80, RealMode());
        WriteGdt(rom);
        Place(rom, Code32Offset, Code64Offset - Code32Offset, ProtectedMode(BootPlanCheck.HasFiveLevels(plan)));
        var longMode = LongMode(plan, out var reloaded);
        Place(rom, Code64Offset, TopTableOffset - Code64Offset, longMode);
        WriteTables(rom, plan);
        foreach (var cpu in plan.Cpus)
            BootRecord.Write(rom.AsSpan(RecordsOffset + cpu.Index * BootRecord.Size, BootRecord.Size), cpu, code, reloaded);
        if (plan.VmCoreInfo is { } note)
            Place(rom, NoteDataOffset, SecondTableOffset - NoteDataOffset, FirmwareConfiguration.Data(note, Base + NoteDataOffset));
        // jmp near to the real-mode entry: E9 rel16.
        rom[ResetOffset] = 0xE9;
        BinaryPrimitives.WriteInt16LittleEndian(rom.AsSpan(ResetOffset + 1), unchecked((short)-(ResetOffset + 3)));
        return rom;
    }

    private static void Place(byte[] rom, int offset, int room, byte[] code)
    {
        if (code.Length > room)
            throw new InvalidOperationException($"boot ROM: code at 0x{offset:X} takes {code.Length:#,0} bytes, {room:#,0} are there");
        code.CopyTo(rom, offset);
    }

    private static byte[] RealMode()
    {
        var a = new Assembler(16);
        a.cli();
        // o32 lgdt cs:[GdtPointerOffset]: the same offset under FFFF0000 (first CPU after reset) and F0000 (the others after SIPI).
        a.db(0x66, 0x2E, 0x0F, 0x01, 0x16, GdtPointerOffset & 0xFF, GdtPointerOffset >> 8);
        a.mov(eax, cr0);
        a.or(eax, 1);
        a.mov(cr0, eax);
        FarJump(a, Code32Selector, Base + Code32Offset, operandPrefix: true);
        return Bytes(a, Base);
    }

    private static byte[] ProtectedMode(bool fiveLevels)
    {
        var a = new Assembler(32);
        a.mov(eax, DataSelector);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(eax, fiveLevels ? 0x1020 : 0x20); // PAE, LA57
        a.mov(cr4, eax);
        a.mov(eax, Base + TopTableOffset);
        a.mov(cr3, eax);
        a.mov(ecx, EferMsr);
        a.mov(eax, 0x901); // NXE, LME, SCE: the kernel's tables hold no-execute bits
        a.xor(edx, edx);
        a.wrmsr();
        a.mov(eax, cr0);
        a.or(eax, 0x80000001);
        a.mov(cr0, eax);
        FarJump(a, Code64Selector, Base + Code64Offset, operandPrefix: false);
        return Bytes(a, Base + Code32Offset);
    }

    private static void FarJump(Assembler a, ushort selector, uint offset, bool operandPrefix)
    {
        Span<byte> code = stackalloc byte[8];
        code[0] = 0x66;
        code[1] = 0xEA;
        BinaryPrimitives.WriteUInt32LittleEndian(code[2..], offset);
        BinaryPrimitives.WriteUInt16LittleEndian(code[6..], selector);
        a.db(operandPrefix ? code : code[1..]);
    }

    private static byte[] LongMode(BootPlan plan, out ulong reloadedAddress)
    {
        var a = new Assembler(64);
        Label mine = a.CreateLabel(), park = a.CreateLabel(), reloaded = a.CreateLabel(), noTask = a.CreateLabel(), msrs = a.CreateLabel(),
            noXcr = a.CreateLabel(), parked = a.CreateLabel();

        // The initial APIC id is the CPU's index: QEMU numbers them without gaps as long as CPUs are plain cores or plain sockets.
        a.mov(eax, 1);
        a.cpuid();
        a.shr(ebx, 24);
        a.cmp(ebx, plan.Cpus.Count);
        a.jae(park);
        a.mov(esi, ebx);
        a.shl(esi, BootRecord.SizeShift);
        a.add(esi, unchecked((int)(Base + RecordsOffset)));
        a.test(ebx, ebx);
        a.jnz(mine);
        MaskInterruptControllers(a);
        SetUpSerialLine(a);
        ShowVideoMemory(a);
        if (plan.VmCoreInfo is not null)
            FirmwareConfiguration.Register(a, Base + NoteDataOffset);
        ClearCounters(a, plan.Code.CounterPage);
        if (plan.Cpus.Count > 1)
            StartOthersAndWait(a, plan);

        a.Label(ref mine);
        a.fninit();
        a.mov(ecx, EferMsr);
        a.mov(eax, __dword_ptr[rsi + BootRecord.Efer]);
        a.xor(edx, edx);
        a.wrmsr();
        a.mov(rax, __qword_ptr[rsi + BootRecord.Cr4]);
        a.mov(cr4, rax);
        a.lgdt(__[rsi + BootRecord.Gdt]);
        a.lidt(__[rsi + BootRecord.Idt]);
        // Windows' GDT calls its TSS busy, as it is while Windows runs; LTR takes an available one only, and makes it busy again.
        a.movzx(eax, __word_ptr[rsi + BootRecord.Tr]);
        a.and(eax, 0xFFF8);
        a.jz(noTask);
        a.mov(rdx, __qword_ptr[rsi + BootRecord.Gdt + 2]);
        a.and(__byte_ptr[rdx + rax + 5], 0xFD);
        a.ltr(__word_ptr[rsi + BootRecord.Tr]);
        a.Label(ref noTask);
        a.lldt(__word_ptr[rsi + BootRecord.Ldt]);
        a.movzx(eax, __word_ptr[rsi + BootRecord.Ds]);
        a.mov(ds, ax);
        a.movzx(eax, __word_ptr[rsi + BootRecord.Es]);
        a.mov(es, ax);
        a.movzx(eax, __word_ptr[rsi + BootRecord.Fs]);
        a.mov(fs, ax);
        a.movzx(eax, __word_ptr[rsi + BootRecord.Gs]);
        a.mov(gs, ax);
        a.movzx(eax, __word_ptr[rsi + BootRecord.Ring0Ss]);
        a.mov(ss, ax);
        // jmp far dword [rsi + Ring0Far]: FF /5, mod 10, rm rsi.
        Span<byte> farJump = [0xFF, 0xAE, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32LittleEndian(farJump[2..], BootRecord.Ring0Far);
        a.db(farJump);
        a.Label(ref reloaded);

        // After the selectors, because loading FS or GS resets its base.
        a.lea(rdi, __[rsi + BootRecord.Msrs]);
        a.mov(r8d, BootRecord.MsrCount);
        a.Label(ref msrs);
        a.mov(ecx, __dword_ptr[rdi]);
        a.mov(eax, __dword_ptr[rdi + 8]);
        a.mov(edx, __dword_ptr[rdi + 12]);
        a.wrmsr();
        a.add(rdi, BootRecord.MsrSize);
        a.dec(r8d);
        a.jnz(msrs);
        a.mov(rax, __qword_ptr[rsi + BootRecord.Cr8]);
        a.mov(cr8, rax);
        a.mov(rax, __qword_ptr[rsi + BootRecord.Cr0]);
        a.mov(cr0, rax);
        a.mov(eax, __dword_ptr[rsi + BootRecord.Xcr0]);
        a.test(eax, eax);
        a.jz(noXcr);
        a.xor(edx, edx);
        a.xor(ecx, ecx);
        a.xsetbv();
        a.Label(ref noXcr);
        a.ldmxcsr(__dword_ptr[rsi + BootRecord.MxCsr]);
        a.movups(xmm6, __xmmword_ptr[rsi + BootRecord.Xmm6]);
        a.movups(xmm7, __xmmword_ptr[rsi + BootRecord.Xmm6 + 16]);
        a.movups(xmm8, __xmmword_ptr[rsi + BootRecord.Xmm6 + 32]);
        a.movups(xmm9, __xmmword_ptr[rsi + BootRecord.Xmm6 + 48]);

        // Arrived: what follows touches no shared state.
        a.mov(rax, plan.Code.CounterPage);
        a.mov(__qword_ptr[rax + rbx * 8 + 8], 1);
        a.mov(rax, __qword_ptr[rsi + BootRecord.Cr3]);
        a.mov(rcx, __qword_ptr[rsi + BootRecord.Rcx]);
        a.mov(r8, __qword_ptr[rsi + BootRecord.Leave]);
        a.mov(r9, __qword_ptr[rsi + BootRecord.Rip]);
        a.mov(r11, __qword_ptr[rsi + BootRecord.R11]);
        a.mov(r12, __qword_ptr[rsi + BootRecord.R12]);
        a.mov(r13, __qword_ptr[rsi + BootRecord.R12 + 8]);
        a.mov(r14, __qword_ptr[rsi + BootRecord.R12 + 16]);
        a.mov(r15, __qword_ptr[rsi + BootRecord.R12 + 24]);
        a.xor(edx, edx);
        a.xor(edi, edi);
        a.xor(ebp, ebp);
        a.xor(r10d, r10d);
        // The flags are popped straight out of the record: reading a stack needs no RAM.
        a.lea(rsp, __[rsi + BootRecord.Ring0Rflags]);
        a.popfq();
        a.mov(rsp, __qword_ptr[rsi + BootRecord.Rsp]);
        a.mov(esi, 0);
        a.jmp(r8);

        a.Label(ref park);
        a.cli();
        a.Label(ref parked);
        a.hlt();
        a.jmp(parked);

        using var stream = new MemoryStream();
        var result = a.Assemble(new StreamCodeWriter(stream), Base + Code64Offset, BlockEncoderOptions.ReturnNewInstructionOffsets);
        reloadedAddress = result.GetLabelRIP(reloaded);
        return stream.ToArray();
    }

    /// <summary>Both 8259s initialised and fully masked: a twin has interrupts enabled where Windows would, and must never get one.</summary>
    private static void MaskInterruptControllers(Assembler a)
    {
        foreach (var (port, value) in new (byte Port, byte Value)[]
            { (0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01), (0xA0, 0x11), (0xA1, 0x28), (0xA1, 0x02), (0xA1, 0x01), (0x21, 0xFF), (0xA1, 0xFF) })
        {
            a.mov(al, value);
            a.@out(port, al);
        }
    }

    /// <summary>115,200 8N1, no interrupts, FIFO on with a threshold of 14: QEMU then hands over a whole request at once instead of a character at a time.</summary>
    private static void SetUpSerialLine(Assembler a)
    {
        foreach (var (port, value) in new (int Port, byte Value)[]
            { (0x3F9, 0x00), (0x3FB, 0x80), (0x3F8, 0x01), (0x3F9, 0x00), (0x3FB, 0x03), (0x3FA, 0xC7), (0x3FC, 0x03) })
        {
            a.mov(edx, port);
            a.mov(al, value);
            a.@out(dx, al);
        }
    }

    /// <summary>Gives the display controllers of PCI bus 0, if there are any, an address for their video memory: a RAM block in the guest's address space that is not the guest's RAM.</summary>
    private static void ShowVideoMemory(Assembler a)
    {
        const int enable = unchecked((int)0x80000000), nextDevice = 0x800, buses = 0x10000, commandRegister = 0x04, classRegister = 0x08, firstBar = 0x10;
        const int addressPort = 0xCF8, dataPort = 0xCFC, vgaClass = 0x0300, memoryDecoding = 2;
        Label device = a.CreateLabel(), next = a.CreateLabel();
        a.mov(edi, enable);
        a.Label(ref device);
        Select(classRegister);
        a.@in(eax, dx);
        a.shr(eax, 16);
        a.cmp(eax, vgaClass);
        a.jne(next);
        Select(firstBar);
        a.mov(eax, unchecked((int)VideoMemory));
        a.@out(dx, eax);
        Select(commandRegister);
        a.mov(eax, memoryDecoding);
        a.@out(dx, eax);
        a.Label(ref next);
        a.add(edi, nextDevice);
        a.cmp(edi, enable + buses);
        a.jb(device);

        void Select(int register)
        {
            a.lea(eax, __[edi + register]);
            a.mov(edx, addressPort);
            a.@out(dx, eax);
            a.mov(edx, dataPort);
        }
    }

    private static void ClearCounters(Assembler a, ulong counterPage)
    {
        a.mov(rdi, counterPage);
        a.mov(ecx, GuestCode.HotOffset / 8 + 1);
        a.xor(eax, eax);
        a.cld();
        a.rep.stosq();
    }

    private static void StartOthersAndWait(Assembler a, BootPlan plan)
    {
        Label again = a.CreateLabel(), delay = a.CreateLabel(), check = a.CreateLabel();
        a.mov(edi, LocalApic);
        a.mov(__dword_ptr[rdi + InterruptCommand], InitOthers);
        a.mov(r8, plan.Code.CounterPage);
        a.Label(ref again);
        // A CPU that already runs ignores another start-up message, so sending it until all have come is safe.
        a.mov(ecx, 0x4000);
        a.Label(ref delay);
        a.dec(ecx);
        a.jnz(delay);
        a.pause();
        a.mov(__dword_ptr[rdi + InterruptCommand], StartOthers);
        a.mov(ecx, plan.Cpus.Count - 1);
        a.Label(ref check);
        a.cmp(__qword_ptr[r8 + rcx * 8 + 8], 0);
        a.je(again);
        a.dec(ecx);
        a.jnz(check);
    }

    private static void WriteGdt(byte[] rom)
    {
        var gdt = rom.AsSpan(GdtOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt[Code32Selector..], 0x00CF9B000000FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt[DataSelector..], 0x00CF93000000FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt[Code64Selector..], 0x00AF9B000000FFFF);
        BinaryPrimitives.WriteUInt16LittleEndian(rom.AsSpan(GdtPointerOffset), Code64Selector + 8 - 1);
        BinaryPrimitives.WriteUInt32LittleEndian(rom.AsSpan(GdtPointerOffset + 2), Base + GdtOffset);
    }

    /// <summary>All entries carry the accessed (and dirty) bits already: the CPU could not set them in a ROM.</summary>
    private static void WriteTables(byte[] rom, BootPlan plan)
    {
        const ulong presentWriteAccessed = 0x23, large = 0xE3, uncached = 0x18;
        const int kernelHalf = 256;
        var top = rom.AsSpan(TopTableOffset, 0x1000);
        var kernel = BootPlanCheck.PageTable(plan, plan.Cpus[0].KernelCr3);
        for (var i = kernelHalf; i < 512; i++)
        {
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(kernel[(i * 8)..]);
            BinaryPrimitives.WriteUInt64LittleEndian(top[(i * 8)..], (entry & 1) != 0 ? entry | 0x20 : 0);
        }
        // CPUs outside of Windows get their descriptor tables from there, so that the ROM has to see these, too.
        foreach (var cpu in plan.Cpus.Where(cpu => cpu.Leave != 0))
        {
            var outside = BootPlanCheck.PageTable(plan, cpu.Cr3);
            for (var i = kernelHalf; i < 512; i++)
            {
                var entry = BinaryPrimitives.ReadUInt64LittleEndian(outside[(i * 8)..]);
                if ((entry & 1) != 0 && BinaryPrimitives.ReadUInt64LittleEndian(top[(i * 8)..]) == 0)
                    BinaryPrimitives.WriteUInt64LittleEndian(top[(i * 8)..], entry | 0x20);
            }
        }
        var pml4 = top;
        if (BootPlanCheck.HasFiveLevels(plan))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(top, (Base + SecondTableOffset) | presentWriteAccessed);
            pml4 = rom.AsSpan(SecondTableOffset, 0x1000);
        }
        BinaryPrimitives.WriteUInt64LittleEndian(pml4, (Base + PdptOffset) | presentWriteAccessed);
        BinaryPrimitives.WriteUInt64LittleEndian(rom.AsSpan(PdptOffset + 3 * 8), (Base + PdOffset) | presentWriteAccessed);
        var pd = rom.AsSpan(PdOffset, 0x1000);
        BinaryPrimitives.WriteUInt64LittleEndian(pd[(int)((LocalApic >> 21 & 511) * 8)..], LocalApic & 0xFFE00000 | large | uncached);
        BinaryPrimitives.WriteUInt64LittleEndian(pd[(int)((Base >> 21 & 511) * 8)..], Base & 0xFFE00000 | large);
    }

    private static byte[] Bytes(Assembler a, ulong address)
    {
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), address);
        return stream.ToArray();
    }
}
