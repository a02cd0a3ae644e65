using System.Buffers.Binary;

namespace Forengate.Memory.Tests;

public sealed class CpuNotesTests
{
    [Fact]
    public void Every_register_survives_and_so_does_not_knowing_it()
    {
        var full = CpuSamples.WithVectors(CpuSamples.Full(3, 1), 2);
        var cpus = new List<CpuState> { new() { Index = 0 }, full };
        foreach (var property in CpuSamples.Registers())
        {
            // One register known, and all but one known: a bit in the wrong place shows in one of the two.
            var only = new CpuState { Index = cpus.Count };
            property.SetValue(only, property.GetValue(full));
            cpus.Add(only);
            var without = full with { Index = cpus.Count };
            property.SetValue(without, null);
            cpus.Add(without);
        }
        cpus.Add(full with { Index = 5000, Cs = new SegmentRegister(1), Fs = new SegmentRegister(2, 3), Gs = new SegmentRegister(2, null, 4), Ss = new SegmentRegister(9, null, null, 7) });

        var read = Read(CpuNotes.Write(cpus));
        Assert.Equal(cpus.Count, read.Count);
        foreach (var (wanted, got) in cpus.Zip(read))
        {
            Assert.Equal(wanted.Index, got.Index);
            Assert.Empty(CpuSamples.Differences(wanted, got));
        }
    }

    [Fact]
    public void Readers_of_QEMUs_notes_find_what_those_hold()
    {
        var cpus = new[] { CpuSamples.Full(0, 1), CpuSamples.Full(2, 2) };
        var notes = CpuNotes.Write(cpus);
        var read = Read(WithoutOurs(notes));
        Assert.Equal([0, 2], read.Select(cpu => cpu.Index));
        foreach (var (wanted, got) in cpus.Zip(read))
        {
            Assert.Equal("ELF note (QEMU)", got.Source);
            // What QEMU's structure has no room for (target/i386/arch_dump.c), and nothing else.
            var seen = CpuSamples.Differences(wanted, got).Select(line => line[..line.IndexOf(':', StringComparison.Ordinal)]);
            Assert.Equal(
                ["ApicBase", "CStar", "Cr8", "DebugCtl", "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Efer", "Fcw", "Fsw", "Ftw", "LStar", "MxCsr", "Pat", "SfMask", "Star", "SysenterCs", "SysenterEip", "SysenterEsp",
                    "Tsc", "TscAux", "Xcr0"],
                seen.Order(StringComparer.Ordinal));
        }
    }

    [Theory]
    [InlineData(0xD01UL, 336, 112 + (16 * 8))]
    [InlineData(0UL, 144, 72 + (12 * 4))]
    public void The_common_note_has_the_form_of_the_first_processors_mode(ulong efer, int size, int ripAt)
    {
        var cpu = CpuSamples.Full(6, 1) with { Efer = efer, Rip = 0x1234_5678 };
        var notes = CpuNotes.Write([cpu]);
        Assert.Equal(size, BinaryPrimitives.ReadInt32LittleEndian(notes.AsSpan(4)));
        var description = notes.AsSpan(12 + 8, size);
        Assert.Equal(7, BinaryPrimitives.ReadInt32LittleEndian(description[(size == 336 ? 32 : 24)..]));
        Assert.Equal(0x1234_5678, BinaryPrimitives.ReadInt32LittleEndian(description[ripAt..]));
    }

    [Fact]
    public void What_QEMUs_notes_cannot_say_is_said()
    {
        Assert.Empty(CpuNotes.Lost([]));
        var full = CpuSamples.Full(0, 1);
        Assert.Contains("no room for cr8, xcr0, debug registers, EFER, STAR, LSTAR, CSTAR, SFMASK, other MSRs, FPU, XMM and YMM", Assert.Single(CpuNotes.Lost([full])), StringComparison.Ordinal);
        var lost = CpuNotes.Lost([full, new CpuState { Index = 1, Cr3 = 1, Rip = 2 }]);
        Assert.Contains(lost, line => line.StartsWith("CPU 1: registers that the source does not know are zeros", StringComparison.Ordinal)
            && line.EndsWith("take for real: general registers, rflags, cs, ds, es, fs, gs, ss, ldtr, tr, gdtr, idtr, cr0, cr2, cr4, kernel_gs_base", StringComparison.Ordinal));
    }

    [Fact]
    public void Ours_cut_off_leaves_QEMUs()
    {
        var notes = CpuNotes.Write([CpuSamples.Full(0, 1), CpuSamples.Full(1, 2)]);
        var read = Read(notes[..^8]);
        Assert.Equal(["ELF note (QEMU)", "ELF note (QEMU)"], read.Select(cpu => cpu.Source));
    }

    private static byte[] WithoutOurs(ReadOnlySpan<byte> notes)
    {
        var kept = new List<byte>();
        while (notes.Length != 0)
        {
            var size = 12 + ((BinaryPrimitives.ReadInt32LittleEndian(notes) + 3) & ~3) + ((BinaryPrimitives.ReadInt32LittleEndian(notes[4..]) + 3) & ~3);
            if (!notes[12..].StartsWith("FORENGATE"u8))
                kept.AddRange(notes[..size]);
            notes = notes[size..];
        }
        return [.. kept];
    }

    private static IReadOnlyList<CpuState> Read(byte[] notes)
    {
        using var file = new TemporaryFile(new ElfCoreBuilder().Notes(notes).Load(0, new byte[Page.Size]).Build());
        using var view = ImageReader.Open(file.Path);
        return view.Cpus;
    }
}
