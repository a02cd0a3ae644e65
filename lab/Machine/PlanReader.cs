using System.Globalization;
using System.Text.Json;

namespace Forengate.Lab.Machine;

/// <summary>Reads what <see cref="PlanJson"/> writes.</summary>
internal static class PlanReader
{
    /// <summary>The plan with empty segments, and the name of each segment's file.</summary>
    /// <exception cref="BootPlanException">It is not a plan.</exception>
    public static (BootPlan Plan, IReadOnlyList<string> Files) Read(ReadOnlyMemory<byte> json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            var root = document.RootElement;
            var segments = root.GetProperty("segments").EnumerateArray().ToList();
            var plan = new BootPlan
            {
                MemorySize = root.GetProperty("memorySize").GetUInt64(),
                LowSize = root.GetProperty("lowSize").GetUInt64(),
                Code = Code(root.GetProperty("code")),
                Cpus = [.. root.GetProperty("cpus").EnumerateArray().Select(Cpu)],
                Segments = [.. segments.Select(s => new MemorySegment(Hex(s, "address"), default))],
                VmCoreInfo = root.TryGetProperty("vmCoreInfo", out var note) ? new VmCoreInfoNote(Hex(note, "address"), (uint)Hex(note, "size")) : null,
            };
            return (plan, [.. segments.Select(s => s.GetProperty("file").GetString()!)]);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException or OverflowException)
        {
            throw new BootPlanException($"not a boot plan: {e.Message}");
        }
    }

    private static GuestCodeAddresses Code(JsonElement code) => new()
    {
        KernelLoop = Hex(code, "kernelLoop"), SystemCallEntry = Hex(code, "systemCallEntry"), EntryBody = Hex(code, "entryBody"), UserLoop = Hex(code, "userLoop"),
        CounterPage = Hex(code, "counterPage"), CommandTable = Hex(code, "commandTable"), KpcrScratch = (uint)Hex(code, "kpcrScratch"),
        KpcrKernelCr3 = (uint)Hex(code, "kpcrKernelCr3"), KvaShadow = code.GetProperty("kvaShadow").GetBoolean(),
    };

    private static CpuStart Cpu(JsonElement cpu)
    {
        var xmm = Convert.FromHexString(cpu.GetProperty("xmm6To9").GetString()!);
        return new CpuStart
        {
            Index = cpu.GetProperty("index").GetInt32(),
            Mode = Enum.Parse<CpuMode>(cpu.GetProperty("mode").GetString()!, ignoreCase: true),
            Cr0 = Hex(cpu, "cr0"), Cr3 = Hex(cpu, "cr3"), Cr4 = Hex(cpu, "cr4"), Cr8 = Hex(cpu, "cr8"), Efer = Hex(cpu, "efer"),
            GdtBase = Hex(cpu, "gdtBase"), GdtLimit = Word(cpu, "gdtLimit"), IdtBase = Hex(cpu, "idtBase"), IdtLimit = Word(cpu, "idtLimit"),
            TrSelector = Word(cpu, "trSelector"), LdtSelector = Word(cpu, "ldtSelector"),
            GsBase = Hex(cpu, "gsBase"), KernelGsBase = Hex(cpu, "kernelGsBase"), FsBase = Hex(cpu, "fsBase"),
            Star = Hex(cpu, "star"), LStar = Hex(cpu, "lStar"), CStar = Hex(cpu, "cStar"), SfMask = Hex(cpu, "sfMask"),
            Rip = Hex(cpu, "rip"), Rsp = Hex(cpu, "rsp"), Rflags = Hex(cpu, "rflags"),
            Cs = Word(cpu, "cs"), Ss = Word(cpu, "ss"), Ds = Word(cpu, "ds"), Es = Word(cpu, "es"), Fs = Word(cpu, "fs"), Gs = Word(cpu, "gs"),
            R12 = Hex(cpu, "r12"), R13 = Hex(cpu, "r13"), R14 = Hex(cpu, "r14"), R15 = Hex(cpu, "r15"),
            MxCsr = (uint)Hex(cpu, "mxCsr"), Xmm6To9 = xmm.Length == 0 ? null : xmm,
            KernelStack = Hex(cpu, "kernelStack"), KernelCr3 = Hex(cpu, "kernelCr3"),
        };
    }

    private static ushort Word(JsonElement parent, string name) => checked((ushort)Hex(parent, name));

    private static ulong Hex(JsonElement parent, string name)
    {
        var text = parent.GetProperty(name).GetString();
        return text is not null && text.StartsWith("0x", StringComparison.Ordinal)
            ? ulong.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture)
            : throw new FormatException($"{name} is '{text}', not a hexadecimal number");
    }
}
