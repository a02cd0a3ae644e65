using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>Cores made by real QEMU, judged by what the same QEMU says of itself: pmemsave, info registers, gva2gpa.</summary>
public sealed partial class QemuElfCoreTests
{
    private const int LowSize = 32 << 20;
    private const int HighSize = 32 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Core_of_a_long_mode_guest_equals_what_QEMU_says(bool paging)
    {
        using var qemu = StartLongMode();
        using var view = ImageReader.Open(qemu.Dump(paging));
        Assert.Equal("ELF core (64-bit)", view.Origin.Format);
        Assert.Equal("QEMU", view.Origin.Producer);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        AssertRegistersEqual(qemu, view.Cpus);
        AssertStubRegisters(view.Cpus[0]);
        if (!paging)
        {
            AssertMemoryEquals(qemu, view.Memory, 0, 0xA0000);
            AssertMemoryEquals(qemu, view.Memory, 0x100000, LowSize - 0x100000);
            AssertMemoryEquals(qemu, view.Memory, LongModeStub.AboveFourGiB, HighSize);
            Assert.Equal((ulong)(LowSize + HighSize), view.Memory.Size);
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains("firmware", StringComparison.Ordinal) && remark.Contains("-0x100000000", StringComparison.Ordinal));
        }
        else
        {
            // Only what the tables map is named: 2 MiB at 0, pages in the low memory, 2 MiB above 4 GiB; between two of one block everything is there.
            AssertMemoryEquals(qemu, view.Memory, 0, 0xC0_0000);
            AssertMemoryEquals(qemu, view.Memory, LongModeStub.AboveFourGiB, 2 << 20);
            Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(0xC0_0000)));
        }
    }

    [Fact]
    public void Page_walks_over_a_core_equal_QEMUs_own()
    {
        using var qemu = StartLongMode();
        using var view = ImageReader.Open(qemu.Dump(paging: false));
        var space = new AddressSpace(view.Memory, view.Cpus[0].Cr3!.Value);
        ulong[] addresses =
        [
            0, 0x8123, 0x1F_FFFF, 0x20_0000, 0x80_0000, 0x9F_FFFF, LongModeStub.HighHalf, LongModeStub.HighHalf + 0x1FFF, LongModeStub.HighHalf + 0x2000,
            LongModeStub.HighHalf + 0x7ABC, LongModeStub.HighHalf + 0x20_0000, LongModeStub.HighHalf + 0x3F_F123, LongModeStub.HighHalf + 0x4000_0000,
            0xFFFF_F6FB_7DBE_D000, 0xFFFF_F6FB_7DBE_DF68, 0xFFFF_F6FB_7DBE_D008, 0xFFFF_F680_0000_0000,
        ];
        var batch = new Translation[addresses.Length];
        space.Translate(Array.ConvertAll(addresses, address => new VirtualAddress(address)), batch);
        var mapped = 0;
        for (var i = 0; i < addresses.Length; i++)
        {
            var said = qemu.Monitor($"gva2gpa 0x{addresses[i]:x}").Trim();
            var translation = space.Translate(new VirtualAddress(addresses[i]));
            Assert.Equal(translation, batch[i]);
            Assert.Equal(said, translation.Ok ? $"gpa: {Hash(translation.Address.Value)}" : "Unmapped");
            mapped += translation.Ok ? 1 : 0;
        }
        Assert.InRange(mapped, 10, addresses.Length - 3);
    }

    [Fact]
    public void Core_of_a_guest_before_its_first_instruction_has_real_mode_registers()
    {
        using var qemu = QemuMachine.Start(
            "pc", "-S", "-device", "loader,addr=0x200000,data=0x1122334455667788,data-len=8", "-device", "loader,addr=0x3fffff8,data=0x8877665544332211,data-len=8");
        using var view = ImageReader.Open(qemu.Dump(paging: false));
        // For an i386, but of 64-bit class: the ROM ends at 4 GiB.
        Assert.Equal("ELF core (64-bit)", view.Origin.Format);
        AssertRegistersEqual(qemu, view.Cpus);
        Assert.Equal(0xFFFF_0000UL, view.Cpus[0].Cs!.Value.Base);
        Assert.Equal(0xFFF0UL, view.Cpus[0].Rip);
        Assert.False(view.Cpus[0].IsLongMode);
        Assert.True(view.Memory.TryRead(new PhysicalAddress(0x200000), out ulong value));
        Assert.Equal(0x1122334455667788UL, value);
        AssertMemoryEquals(qemu, view.Memory, 0x100000, (64 << 20) - 0x100000);
        Assert.Equal(64UL << 20, view.Memory.End.Value);
    }

    [Fact]
    public void A_core_cut_short_is_read_as_far_as_it_goes()
    {
        using var qemu = StartLongMode();
        var path = qemu.Dump(paging: false);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write))
            stream.SetLength(stream.Length - (40 << 20));
        using var view = ImageReader.Open(path);
        Assert.Equal(2, view.Cpus.Count);
        Assert.Contains(view.Origin.Damage, remark => remark.Contains("cut off", StringComparison.Ordinal));
        AssertMemoryEquals(qemu, view.Memory, 0x100000, 16 << 20);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(LongModeStub.AboveFourGiB)));
        Assert.Equal((ulong)(LowSize + HighSize), view.Memory.Size);
        Assert.Equal(0, view.Memory.Read(new PhysicalAddress(LongModeStub.AboveFourGiB), new byte[8]));
    }

    /// <summary>As C prints %#x: zero goes bare.</summary>
    private static string Hash(ulong value) => value == 0 ? "0" : $"0x{value:x}";

    private static QemuMachine StartLongMode()
    {
        var folder = Directory.CreateTempSubdirectory("forengate-stub-");
        try
        {
            var rom = Path.Combine(folder.FullName, "rom.bin");
            var image = Path.Combine(folder.FullName, "image.bin");
            var noise = Path.Combine(folder.FullName, "noise.bin");
            File.WriteAllBytes(rom, LongModeStub.Rom());
            File.WriteAllBytes(image, LongModeStub.Image());
            var bytes = new byte[3 << 20];
            new Random(7).NextBytes(bytes);
            File.WriteAllBytes(noise, bytes);
            var qemu = QemuMachine.Start(
                "pc,max-ram-below-4g=32M",
                "-bios", rom,
                "-device", $"loader,file={image},addr=0x{LongModeStub.Code:x},force-raw=on",
                "-device", $"loader,file={noise},addr=0x600000,force-raw=on",
                "-device", $"loader,file={noise},addr=0x{LongModeStub.AboveFourGiB:x},force-raw=on");
            for (var tries = 0; !qemu.Monitor("info registers").Contains("HLT=1", StringComparison.Ordinal); tries++)
            {
                Assert.True(tries < 500, "the stub did not halt");
                Thread.Sleep(20);
            }
            qemu.Command("stop");
            return qemu;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static void AssertMemoryEquals(QemuMachine qemu, PhysicalMemory memory, ulong address, int length)
    {
        var expected = qemu.PhysicalBytes(address, length);
        var read = new byte[length];
        Assert.Equal(length, memory.Read(new PhysicalAddress(address), read));
        Assert.True(expected.AsSpan().SequenceEqual(read), $"memory at 0x{address:x} differs at +0x{expected.AsSpan().CommonPrefixLength(read):x}");
        for (var done = 0; done < length;)
        {
            var span = memory.Map(new PhysicalAddress(address + (ulong)done), length - done);
            Assert.False(span.IsEmpty);
            Assert.True(span.SequenceEqual(expected.AsSpan(done, span.Length)));
            done += span.Length;
        }
    }

    private static void AssertStubRegisters(CpuState cpu)
    {
        Assert.Equal(0xA0A1A2A3A4A5A6A7UL, cpu.Rax);
        Assert.Equal(0xA0A1A2A3A4A5A6A7UL, cpu.Cr2);
        Assert.Equal(0xFFFFF80112345678UL, cpu.Rsp);
        Assert.Equal(0x0102030405060708UL, cpu.Rbp);
        Assert.Equal(0x6162636465666768UL, cpu.Rdi);
        Assert.Equal(0x1515151515151515UL, cpu.R15);
        Assert.Equal(0x7FF711111111UL, cpu.Fs!.Value.Base);
        Assert.Equal(0xFFFFF80722222000UL, cpu.Gs!.Value.Base);
        Assert.Equal(0x4533333000UL, cpu.KernelGsBase);
        Assert.Equal(LongModeStub.Pml4, cpu.Cr3);
        Assert.Equal(new DescriptorTableRegister(0xFFFFF80000005000, 0xFFF), cpu.Idtr);
        Assert.True(cpu.IsLongMode);
        Assert.Equal(0, cpu.Cpl);
        Assert.Equal(4, cpu.PagingLevels);
    }

    private static void AssertRegistersEqual(QemuMachine qemu, IReadOnlyList<CpuState> cpus)
    {
        Assert.Equal(2, cpus.Count);
        for (var i = 0; i < cpus.Count; i++)
        {
            Assert.Equal(i, cpus[i].Index);
            var text = qemu.Command("human-monitor-command", new Dictionary<string, object?> { ["command-line"] = "info registers", ["cpu-index"] = i }).GetString()!;
            var said = NamedValue().Matches(text).DistinctBy(match => match.Groups[1].Value).ToDictionary(
                match => match.Groups[1].Value.TrimStart('E', 'R'), match => ulong.Parse(match.Groups[2].Value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
            var cpu = cpus[i];
            (string Name, ulong? Value)[] ours =
            [
                ("AX", cpu.Rax), ("BX", cpu.Rbx), ("CX", cpu.Rcx), ("DX", cpu.Rdx), ("SI", cpu.Rsi), ("DI", cpu.Rdi), ("BP", cpu.Rbp), ("SP", cpu.Rsp),
                ("IP", cpu.Rip), ("CR0", cpu.Cr0), ("CR2", cpu.Cr2), ("CR3", cpu.Cr3), ("CR4", cpu.Cr4),
            ];
            foreach (var (name, value) in ours)
                Assert.Equal((name, said[name.TrimStart('E', 'R')]), (name, value!.Value));
            if (said.TryGetValue("8", out var r8))
                Assert.Equal(r8, cpu.R8!.Value);
            foreach (Match match in SegmentValue().Matches(text))
            {
                var (selector, start, limit, flags) = (Hex(match.Groups[2]), Hex(match.Groups[3]), Hex(match.Groups[4]), Hex(match.Groups[5]));
                var segment = match.Groups[1].Value switch
                {
                    "CS" => cpu.Cs, "DS" => cpu.Ds, "ES" => cpu.Es, "FS" => cpu.Fs, "GS" => cpu.Gs, "SS" => cpu.Ss, "LDT" => cpu.Ldtr, _ => cpu.Tr,
                };
                Assert.Equal(new SegmentRegister((ushort)selector, start, (uint)limit, (uint)flags), segment);
            }
            foreach (Match match in TableValue().Matches(text))
                Assert.Equal(new DescriptorTableRegister(Hex(match.Groups[2]), (uint)Hex(match.Groups[3])), match.Groups[1].Value == "GDT" ? cpu.Gdtr : cpu.Idtr);
        }
    }

    private static ulong Hex(Group group) => ulong.Parse(group.Value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\b([ER]?(?:[A-D]X|[SD]I|[BS]P|IP|\d+)|CR\d) ?=([0-9a-f]{8,16})\b")]
    private static partial Regex NamedValue();

    [GeneratedRegex(@"\b(CS|DS|ES|FS|GS|SS|LDT|TR) ?=([0-9a-f]{4}) ([0-9a-f]{8,16}) ([0-9a-f]{8}) ([0-9a-f]{8})")]
    private static partial Regex SegmentValue();

    [GeneratedRegex(@"\b(GDT|IDT) ?= +([0-9a-f]{8,16}) ([0-9a-f]{8})")]
    private static partial Regex TableValue();
}
