using System.Buffers.Binary;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>Registers as QEMU itself prints them ("info registers"), against a view's.</summary>
internal static partial class QemuRegisters
{
    /// <summary>What every source has.</summary>
    public static void AssertEqual(QemuMachine qemu, IReadOnlyList<CpuState> cpus)
    {
        Assert.Equal(2, cpus.Count);
        for (var i = 0; i < cpus.Count; i++)
        {
            Assert.Equal(i, cpus[i].Index);
            var text = Text(qemu, i);
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

    /// <summary>What a migration stream has beside: EFER, flags, debug, floating-point and vector registers.</summary>
    public static void AssertRestEqual(QemuMachine qemu, IReadOnlyList<CpuState> cpus)
    {
        for (var i = 0; i < cpus.Count; i++)
        {
            var text = Text(qemu, i);
            var cpu = cpus[i];
            Assert.Equal(Value(text, "[RE]FL"), cpu.Rflags);
            if (cpu.Efer is { } efer)
                Assert.Equal(Value(text, "EFER"), efer);
            Assert.Equal([Value(text, "DR0"), Value(text, "DR1"), Value(text, "DR2"), Value(text, "DR3"), Value(text, "DR6"), Value(text, "DR7")], [cpu.Dr0, cpu.Dr1, cpu.Dr2, cpu.Dr3, cpu.Dr6, cpu.Dr7]);
            Assert.Equal((Value(text, "FCW"), Value(text, "FTW"), Value(text, "MXCSR")), ((ulong)cpu.Fcw!, (ulong)cpu.Ftw!, (ulong)cpu.MxCsr!));
            // QEMU prints the status word without the stack's top, and that beside it.
            var top = (int)Value(text, @"\[ST");
            Assert.Equal(Value(text, "FSW") | ((ulong)top << 11), (ulong)cpu.Fsw!);
            for (var register = 0; register < 8; register++)
            {
                var match = Regex.Match(text, $@"FPR{register}=([0-9a-f]{{16}}) ([0-9a-f]{{4}})");
                var st = cpu.St!.Value.Span.Slice(((register - top) & 7) * 16, 16);
                Assert.Equal((Hex(match.Groups[1]), Hex(match.Groups[2])), (BinaryPrimitives.ReadUInt64LittleEndian(st), BinaryPrimitives.ReadUInt16LittleEndian(st[8..])));
            }
            foreach (Match match in VectorValue().Matches(text))
            {
                var at = int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture) * 16;
                var words = match.Groups[3].Value.Split(' ').Select(word => ulong.Parse(word, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture)).Reverse().ToArray();
                Assert.Equal(words[..2], Words(cpu.Xmm!.Value.Span[at..]));
                if (words.Length == 4)
                    Assert.Equal(words[2..], Words(cpu.YmmHigh!.Value.Span[at..]));
            }
        }

        static ulong[] Words(ReadOnlySpan<byte> bytes) => [BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..])];
    }

    private static string Text(QemuMachine qemu, int cpu) =>
        qemu.Command("human-monitor-command", new Dictionary<string, object?> { ["command-line"] = "info registers", ["cpu-index"] = cpu }).GetString()!;

    private static ulong Value(string text, string name) => Hex(Regex.Match(text, $@"{name}=([0-9a-f]+)\b").Groups[1]);

    [GeneratedRegex(@"\b([XY])MM(\d\d)=([0-9a-f]{16}(?: [0-9a-f]{16}){1,3})")]
    private static partial Regex VectorValue();

    private static ulong Hex(Group group) => ulong.Parse(group.Value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\b([ER]?(?:[A-D]X|[SD]I|[BS]P|IP|\d+)|CR\d) ?=([0-9a-f]{8,16})\b")]
    private static partial Regex NamedValue();

    [GeneratedRegex(@"\b(CS|DS|ES|FS|GS|SS|LDT|TR) ?=([0-9a-f]{4}) ([0-9a-f]{8,16}) ([0-9a-f]{8}) ([0-9a-f]{8})")]
    private static partial Regex SegmentValue();

    [GeneratedRegex(@"\b(GDT|IDT) ?= +([0-9a-f]{8,16}) ([0-9a-f]{8})")]
    private static partial Regex TableValue();
}
