using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Lab.Machine;

/// <summary>A CPU as QEMU's <c>info registers -a</c> prints it: names as printed (<c>RIP</c>, <c>CR3</c>, <c>R12</c>, <c>CPL</c>, <c>EFER</c>), and the bases of segments and tables (<c>GS</c>, <c>TR</c>, <c>GDT</c>, <c>IDT</c>).</summary>
public sealed partial record CpuRegisters(int Index, IReadOnlyDictionary<string, ulong> Values, IReadOnlyDictionary<string, ushort> Selectors)
{
    public ulong this[string name] => Values[name];

    /// <summary>All CPUs of the output, in its order.</summary>
    public static IReadOnlyList<CpuRegisters> ParseAll(string text)
    {
        var cpus = new List<CpuRegisters>();
        var heads = CpuHead().Matches(text);
        for (var i = 0; i < heads.Count; i++)
        {
            var part = text[heads[i].Index..(i + 1 < heads.Count ? heads[i + 1].Index : text.Length)];
            var values = new Dictionary<string, ulong>();
            foreach (Match match in Value().Matches(part))
                values[match.Groups[1].Value] = Hex(match.Groups[2].Value);
            var selectors = new Dictionary<string, ushort>();
            foreach (Match match in Segment().Matches(part))
            {
                selectors[match.Groups[1].Value] = (ushort)Hex(match.Groups[2].Value);
                values[match.Groups[1].Value] = Hex(match.Groups[3].Value);
            }
            foreach (Match match in Table().Matches(part))
                values[match.Groups[1].Value] = Hex(match.Groups[2].Value);
            cpus.Add(new CpuRegisters(int.Parse(heads[i].Groups[1].Value, CultureInfo.InvariantCulture), values, selectors));
        }
        return cpus;
    }

    /// <summary>Whether the CPU is in the code, the ring and on the tables that its plan says.</summary>
    internal bool IsInPlace(CpuStart cpu, GuestCodeImage code)
    {
        var (start, length) = cpu.Mode switch
        {
            CpuMode.Kernel => (code.KernelModeStart, code.KernelLoop.Length),
            CpuMode.User => (code.UserModeStart, code.UserLoop.Length),
            CpuMode.SecureKernel or CpuMode.Hypervisor => (cpu.Rip, GuestCode.BlobSize),
            _ => (code.EntryModeStart, code.EntryBody.Length),
        };
        return this["CR3"] == (cpu.Cr3 & ~(1UL << 63)) && this["RIP"] - start < (ulong)length && this["CPL"] == (cpu.Mode == CpuMode.User ? 3u : 0u);
    }

    private static ulong Hex(string text) => ulong.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^CPU#(\d+)\s*$", RegexOptions.Multiline)]
    private static partial Regex CpuHead();

    [GeneratedRegex(@"\b([A-Z][A-Z0-9]+) ?=([0-9a-f]{1,16})\b")]
    private static partial Regex Value();

    [GeneratedRegex(@"^(ES|CS|SS|DS|FS|GS|LDT|TR) ?=([0-9a-f]{4}) ([0-9a-f]{16}) ", RegexOptions.Multiline)]
    private static partial Regex Segment();

    [GeneratedRegex(@"^(GDT|IDT) ?= +([0-9a-f]{16}) ", RegexOptions.Multiline)]
    private static partial Regex Table();
}
