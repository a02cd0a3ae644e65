using System.Text.Json;
using Forengate.Lab.Machine;

namespace Forengate.Lab;

/// <summary>A boot plan without its bytes, as <c>plan.json</c>.</summary>
internal static class PlanJson
{
    public static string FileOf(MemorySegment segment) => $"segment-{segment.Address:x}.bin";

    public static void Write(Stream stream, BootPlan plan)
    {
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteNumber("memorySize", plan.MemorySize);
        json.WriteNumber("lowSize", plan.LowSize);
        json.WriteStartObject("code");
        var code = plan.Code;
        Hex("kernelLoop", code.KernelLoop); Hex("systemCallEntry", code.SystemCallEntry); Hex("entryBody", code.EntryBody); Hex("userLoop", code.UserLoop); Hex("counterPage", code.CounterPage);
        Hex("commandTable", code.CommandTable); Hex("kpcrScratch", code.KpcrScratch); Hex("kpcrKernelCr3", code.KpcrKernelCr3);
        json.WriteBoolean("kvaShadow", code.KvaShadow);
        json.WriteEndObject();
        if (plan.VmCoreInfo is { } note)
        {
            json.WriteStartObject("vmCoreInfo");
            Hex("address", note.Address); Hex("size", note.Size);
            json.WriteEndObject();
        }
        json.WriteStartArray("cpus");
        foreach (var cpu in plan.Cpus)
            Cpu(cpu);
        json.WriteEndArray();
        json.WriteStartArray("segments");
        foreach (var segment in plan.Segments)
        {
            json.WriteStartObject();
            Hex("address", segment.Address);
            json.WriteNumber("length", segment.Bytes.Length);
            json.WriteString("file", FileOf(segment));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();

        void Hex(string name, ulong value) => json.WriteString(name, $"0x{value:x}");

        void Cpu(CpuStart cpu)
        {
            json.WriteStartObject();
            json.WriteNumber("index", cpu.Index);
            json.WriteString("mode", cpu.Mode.ToString().ToLowerInvariant());
            Hex("cr0", cpu.Cr0); Hex("cr3", cpu.Cr3); Hex("cr4", cpu.Cr4); Hex("cr8", cpu.Cr8); Hex("efer", cpu.Efer);
            Hex("gdtBase", cpu.GdtBase); Hex("gdtLimit", cpu.GdtLimit); Hex("idtBase", cpu.IdtBase); Hex("idtLimit", cpu.IdtLimit); Hex("trSelector", cpu.TrSelector); Hex("ldtSelector", cpu.LdtSelector);
            Hex("gsBase", cpu.GsBase); Hex("kernelGsBase", cpu.KernelGsBase); Hex("fsBase", cpu.FsBase); Hex("star", cpu.Star); Hex("lStar", cpu.LStar); Hex("cStar", cpu.CStar); Hex("sfMask", cpu.SfMask);
            Hex("rip", cpu.Rip); Hex("rsp", cpu.Rsp); Hex("rflags", cpu.Rflags); Hex("cs", cpu.Cs); Hex("ss", cpu.Ss); Hex("ds", cpu.Ds); Hex("es", cpu.Es); Hex("fs", cpu.Fs); Hex("gs", cpu.Gs);
            Hex("r12", cpu.R12); Hex("r13", cpu.R13); Hex("r14", cpu.R14); Hex("r15", cpu.R15); Hex("mxCsr", cpu.MxCsr);
            json.WriteString("xmm6To9", Convert.ToHexStringLower(cpu.Xmm6To9 ?? []));
            Hex("kernelStack", cpu.KernelStack); Hex("kernelCr3", cpu.KernelCr3);
            json.WriteEndObject();
        }
    }
}
