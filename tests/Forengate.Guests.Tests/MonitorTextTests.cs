using System.Buffers.Binary;
using System.Text;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>QEMU's texts in their variants, and texts that no QEMU wrote: what is not understood is left out, nothing breaks.</summary>
public sealed class MonitorTextTests
{
    private const string MemoryView = """
        FlatView #0
         AS "I/O", root: io
         Root memory region: io
          0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

        FlatView #1
         AS "cpu-memory-0", root: system
         AS "memory", root: system
         Root memory region: system
          0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
          00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
          00000000000c0000-00000000000c9fff (prio 0, rom): pc.ram @00000000000c0000 KVM
          00000000000ca000-00000000000fffff (prio 0, rom): pc.bios @0000000000020000 KVM
          0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM
          00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram KVM
          00000000febf0400-00000000febf041f (prio 0, i/o): vga ioports remapped
          0000000100000000-000000017fffffff (prio 0, ram): pc.ram @0000000080000000 KVM
          0000000180000000-00000001ffffffff (prio 0, ram): /objects/dimm1 KVM
          0000000200000000-000000023fffffff (prio 0, nv-ram): nvdimm0
          0000000240000800-0000000240002fff (prio 0, ram): pc.ram.other

        FlatView #2
         AS "cpu-smm-0", root: memory
         Root memory region: memory
          0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM
        """;

    [Fact]
    public void The_flat_view_of_memory_gives_the_RAM_of_known_blocks()
    {
        var ram = GuestMemoryMap.RamOf(FlatView.Parse(MemoryView), ["pc.ram", "/objects/dimm1"]).ToList();
        Assert.Equal(
            [
                (0x0UL, 0xA0000UL, 0x0UL, "pc.ram"),
                (0xC0000UL, 0xA000UL, 0xC0000UL, "pc.ram"),
                (0x100000UL, 0x7FF00000UL, 0x100000UL, "pc.ram"),
                (0x1_00000000UL, 0x80000000UL, 0x80000000UL, "pc.ram"),
                (0x1_80000000UL, 0x80000000UL, 0x0UL, "/objects/dimm1"),
            ],
            ram.Select(r => (r.Section.Start, r.Section.Length, r.Section.Offset, r.Name)));
    }

    [Fact]
    public void Sections_that_are_no_whole_pages_are_cut_to_pages()
    {
        var section = Assert.Single(GuestMemoryMap.RamOf(FlatView.Parse(MemoryView), ["pc.ram.other"])).Section;
        Assert.Equal((0x2_40001000UL, 0x2000UL, 0x800UL), (section.Start, section.Length, section.Offset));
    }

    [Theory]
    [InlineData("")]
    [InlineData("unknown command: 'info mtree -f'")]
    [InlineData("FlatView #0\n AS \"memory\", root: system\n")]
    [InlineData("FlatView #0\n AS \"memory\", root: system\n  00-ff\n  zz-ff (prio 0, ram): x\n  ff-00 (prio 0, ram): x\n  0-ffffffffffffffff (prio 0, ram): x\n - (prio , ): \n (prio 0, ram): \n")]
    public void A_text_without_RAM_gives_none(string text) => Assert.Empty(FlatView.Parse(text));

    [Fact]
    public void Overlapping_sections_are_not_believed()
    {
        var sections = FlatView.Parse("FlatView #0\n AS \"memory\", root: s\n 0000-ffff (prio 0, ram): a\n 8000-1ffff (prio 0, ram): a\n 20000-2ffff (prio 0, ram): a\n");
        Assert.Equal([0x0UL, 0x20000UL], sections.Select(s => s.Start));
    }

    [Theory]
    [InlineData("Host virtual address for 0x1000 (pc.ram) is 0x7f4213e01000\r\n", "pc.ram", 0x7f4213e01000UL)]
    [InlineData("Host virtual address for 0x1000 (pc.bios) is 0x7f4213e01000\r\n", "pc.ram", null)]
    [InlineData("No memory is mapped at address 0xfffffffff000", "pc.ram", null)]
    [InlineData("Memory at address 0xfee00000 is not RAM", "pc.ram", null)]
    [InlineData("Host virtual address for 0x1000 (pc.ram) is 0x", "pc.ram", null)]
    [InlineData(") is 0x12 (", "pc.ram", null)]
    public void Host_addresses_are_believed_for_the_right_block_only(string answer, string block, ulong? address) =>
        Assert.Equal(address, GuestMemoryMap.ParseHostAddress(answer, block));

    private const string LongMode = """
        CPU#0
        RAX=0000000000000001 RBX=fffff80000000002 RCX=0000000000000003 RDX=0000000000000004
        RSI=0000000000000005 RDI=0000000000000006 RBP=0000000000000007 RSP=fffff80000000008
        R8 =0000000000000009 R9 =000000000000000a R10=000000000000000b R11=000000000000000c
        R12=000000000000000d R13=000000000000000e R14=000000000000000f R15=0000000000000010
        RIP=fffff80311c28d3f RFL=00040246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
        ES =002b 0000000000000000 ffffffff 00c0f300 DPL=3 DS   [-WA]
        CS =0010 0000000000000000 00000000 00209b00 DPL=0 CS64 [-RA]
        SS =0018 0000000000000000 00000000 00409300 DPL=0 DS   [-WA]
        DS =002b 0000000000000000 ffffffff 00c0f300 DPL=3 DS   [-WA]
        FS =0053 0000000000000000 00003c00 0040f300 DPL=3 DS   [-WA]
        GS =002b fffff8030e59c000 ffffffff 00c0f300 DPL=3 DS   [-WA]
        LDT=0000 0000000000000000 ffffffff 00c00000
        TR =0040 fffff80313c8a000 00000067 00008b00 DPL=0 TSS64-busy
        GDT=     fffff80313c8bfb0 00000057
        IDT=     fffff80313c89000 00000fff
        CR0=80050033 CR2=00000000deadbeef CR3=00000000001ad002 CR4=00350ef8
        DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000
        DR6=00000000ffff0ff0 DR7=0000000000000400
        EFER=0000000000000d01
        FCW=027f FSW=2800 [ST=5] FTW=e0 MXCSR=00001fa0
        FPR0=0000000000000000 0000 FPR1=0000000000000001 3fff
        FPR2=0000000000000002 3fff FPR3=0000000000000003 3fff
        FPR4=0000000000000004 3fff FPR5=8000000000000005 4005
        FPR6=0000000000000006 3fff FPR7=0000000000000007 3fff
        """;

    private static string Vectors(string kind, int words) => string.Join(
        '\n', Enumerable.Range(0, 16).Select(i => $"{kind}{i:00}=" + string.Join(' ', Enumerable.Range(0, words).Select(w => $"{i:x2}{words - 1 - w:x14}"))));

    [Theory]
    [InlineData("XMM", 2, false)]
    [InlineData("YMM", 4, true)]
    [InlineData("ZMM", 8, true)]
    public void Long_mode_registers_are_read_with_vectors_of_any_width(string kind, int words, bool upper)
    {
        var cpu = Assert.Single(HmpRegisters.Parse(LongMode + "\n" + Vectors(kind, words) + "\n"));
        Assert.Equal(0xfffff80000000002UL, cpu.Rbx);
        Assert.Equal(9UL, cpu.R8);
        Assert.Equal(0xaUL, cpu.R9);
        Assert.Equal(0x40246UL, cpu.Rflags);
        Assert.Equal(new SegmentRegister(0x2b, 0xfffff8030e59c000, 0xffffffff, 0x00c0f300), cpu.Gs);
        Assert.Equal(new SegmentRegister(0x40, 0xfffff80313c8a000, 0x67, 0x8b00), cpu.Tr);
        Assert.Equal(new DescriptorTableRegister(0xfffff80313c89000, 0xfff), cpu.Idtr);
        Assert.Equal(0x1ad002UL, cpu.Cr3);
        Assert.Equal(0x80050033UL, cpu.Cr0);
        Assert.Equal(0xd01UL, cpu.Efer);
        Assert.Equal(0x400UL, cpu.Dr7);
        Assert.Equal((byte)0xe0, cpu.Ftw);
        Assert.Equal(0x1fa0U, cpu.MxCsr);
        // ST0 is the register at the top, number 5 of eight.
        Assert.Equal(0x8000000000000005UL, BinaryPrimitives.ReadUInt64LittleEndian(cpu.St!.Value.Span));
        Assert.Equal((ushort)0x4005, BinaryPrimitives.ReadUInt16LittleEndian(cpu.St.Value.Span[8..]));
        Assert.Equal(6UL, BinaryPrimitives.ReadUInt64LittleEndian(cpu.St.Value.Span[16..]));
        Assert.Equal(0x0300000000000000UL, BinaryPrimitives.ReadUInt64LittleEndian(cpu.Xmm!.Value.Span[48..]));
        Assert.Equal(0x0300000000000001UL, BinaryPrimitives.ReadUInt64LittleEndian(cpu.Xmm.Value.Span[56..]));
        Assert.Equal(upper, cpu.YmmHigh is not null);
        if (upper)
            Assert.Equal(0x0300000000000003UL, BinaryPrimitives.ReadUInt64LittleEndian(cpu.YmmHigh!.Value.Span[56..]));
    }

    [Fact]
    public void Broken_register_texts_give_unknown_fields()
    {
        var random = new Random(7);
        var whole = LongMode + "\n" + Vectors("XMM", 2);
        for (var i = 0; i < 2000; i++)
        {
            var text = new StringBuilder(whole[..random.Next(whole.Length)]);
            for (var j = 0; j < 5 && text.Length > 0; j++)
                text[random.Next(text.Length)] = (char)random.Next(1, 0x250);
            foreach (var cpu in HmpRegisters.Parse(text.ToString()))
                Assert.True(cpu.Xmm is null || cpu.Xmm.Value.Length == 256);
        }
        Assert.Empty(HmpRegisters.Parse(""));
        Assert.Empty(HmpRegisters.Parse("unknown command: 'info registers'\n"));
        Assert.Null(Assert.Single(HmpRegisters.Parse("CPU#0\nRAX=xyz RBX=\nCR3")).Rax);
    }

    [Theory]
    [InlineData("APR 0x00 TPR 0xd0 DFR 0x0f LDR 0x00 PPR 0x00", 0xDUL)]
    [InlineData("APR 0x00 TPR 0x0", null)]
    [InlineData("TPR 0xzz", null)]
    [InlineData("", null)]
    public void CR8_is_the_upper_half_of_the_task_priority(string text, ulong? cr8) => Assert.Equal(cr8, CpuReader.ParseTaskPriority(text));

    [Fact]
    public void Registers_that_contradict_each_other_are_not_mixed()
    {
        var remarks = new List<string>();
        var merged = CpuReader.Merge(new CpuState { Index = 3, Rip = 0x1000, Rflags = 2 }, new CpuState { Index = 3, Rip = 0x2000, Rflags = 0x246, Efer = 0xD01 }, remarks);
        Assert.Null(merged.Efer);
        Assert.Equal(2UL, merged.Rflags);
        Assert.Contains("CPU 3", Assert.Single(remarks), StringComparison.Ordinal);
        // A CPU in 32-bit code: HMP shows the lower half.
        merged = CpuReader.Merge(new CpuState { Index = 0, Rip = 0x7ff8_00001000 }, new CpuState { Index = 0, Rip = 0x1000, Efer = 0xD01 }, remarks);
        Assert.Equal(0xD01UL, merged.Efer);
        Assert.Single(remarks);
    }

    [Theory]
    [InlineData("7f0000000000-7f0040000000 rw-s 00100000 00:01 2052  /memfd:memory-backend-memfd (deleted)", 0x7f0000000000UL, true, 0x100000UL, 2052UL, "/memfd:memory-backend-memfd (deleted)")]
    [InlineData("55f0-55ff r--p 00000000 00:00 0", 0x55f0UL, false, 0UL, 0UL, "")]
    public void Mappings_are_read(string line, ulong start, bool shared, ulong offset, ulong inode, string path)
    {
        Assert.True(ProcessMap.TryParse(line, out var mapping));
        Assert.Equal((start, shared, offset, inode, path), (mapping.Start, mapping.Shared, mapping.Offset, mapping.Inode, mapping.Path));
    }

    [Fact]
    public void A_stretch_is_covered_only_by_mappings_that_touch()
    {
        List<ProcessMapping> mappings =
        [
            new(0x1000, 0x3000, false, 0, "00:00", 0, ""), new(0x3000, 0x5000, false, 0, "00:00", 0, ""), new(0x6000, 0x8000, false, 0, "00:00", 0, ""),
        ];
        Assert.True(ProcessMap.Covers(mappings, 0x1000, 0x4000));
        Assert.False(ProcessMap.Covers(mappings, 0x1000, 0x5000));
        Assert.False(ProcessMap.Covers(mappings, 0x4000, 0x3000));
        Assert.False(ProcessMap.Covers(mappings, 0x7000, ulong.MaxValue));
        Assert.Null(ProcessMap.Find(mappings, 0x5000));
    }

    [Fact]
    public void Broken_ELF_notes_give_no_CPUs_and_no_exception()
    {
        var core = ForgedCore(cpus: 3);
        Assert.Equal([0xAAAA0000UL, 0xAAAA0001UL, 0xAAAA0002UL], ElfNotes.Parse(core).Select(c => c.Rax!.Value));
        Assert.Equal(0xF00DUL, ElfNotes.Parse(core)[2].KernelGsBase);
        Assert.True(ElfNotes.IsComplete(core));
        for (var length = 0; length < core.Length; length++)
        {
            Assert.False(ElfNotes.IsComplete(core.AsSpan(0, length)));
            Assert.InRange(ElfNotes.Parse(core.AsSpan(0, length)).Count, 0, 2);
        }
        var random = new Random(11);
        for (var i = 0; i < 20_000; i++)
        {
            var broken = (byte[])core.Clone();
            for (var j = 0; j < 4; j++)
                broken[random.Next(160)] = (byte)random.Next(256);
            _ = ElfNotes.IsComplete(broken);
            Assert.InRange(ElfNotes.Parse(broken).Count, 0, 4096);
        }
    }

    /// <summary>An ELF-64 core with one PT_NOTE of QEMU's CPU notes.</summary>
    private static byte[] ForgedCore(int cpus)
    {
        const int NotesAt = 64 + 56;
        const int NoteSize = 12 + 8 + 440;
        var core = new byte[NotesAt + cpus * NoteSize];
        "\u007fELF"u8.CopyTo(core);
        core[4] = 2;
        core[5] = 1;
        BinaryPrimitives.WriteUInt64LittleEndian(core.AsSpan(0x20), 64);
        BinaryPrimitives.WriteUInt16LittleEndian(core.AsSpan(0x36), 56);
        BinaryPrimitives.WriteUInt16LittleEndian(core.AsSpan(0x38), 1);
        BinaryPrimitives.WriteUInt32LittleEndian(core.AsSpan(64), 4);
        BinaryPrimitives.WriteUInt64LittleEndian(core.AsSpan(72), NotesAt);
        BinaryPrimitives.WriteUInt64LittleEndian(core.AsSpan(96), (ulong)(cpus * NoteSize));
        for (var i = 0; i < cpus; i++)
        {
            var note = core.AsSpan(NotesAt + i * NoteSize);
            BinaryPrimitives.WriteUInt32LittleEndian(note, 5);
            BinaryPrimitives.WriteUInt32LittleEndian(note[4..], 440);
            "QEMU"u8.CopyTo(note[12..]);
            // struct QEMUCPUState begins with its version and size.
            BinaryPrimitives.WriteUInt32LittleEndian(note[20..], 1);
            BinaryPrimitives.WriteUInt32LittleEndian(note[24..], 440);
            BinaryPrimitives.WriteUInt64LittleEndian(note[28..], 0xAAAA0000UL + (ulong)i);
            BinaryPrimitives.WriteUInt64LittleEndian(note[(20 + 432)..], 0xF00D);
        }
        return core;
    }

    /// <summary>QEMU 10's words, and one of a version that is not there yet: a guest in the middle of something is left alone.</summary>
    [Theory]
    [InlineData(null, false)]
    [InlineData("none", false)]
    [InlineData("completed", false)]
    [InlineData("failed", false)]
    [InlineData("cancelled", false)]
    [InlineData("active", true)]
    [InlineData("cancelling", true)]
    [InlineData("postcopy-paused", true)]
    [InlineData("postcopy-recover-setup", true)]
    [InlineData("failing", true)]
    public void A_migration_is_at_work_until_it_has_ended(string? status, bool atWork) => Assert.Equal(atWork, MonitorCommands.IsAtWork(status));
}
