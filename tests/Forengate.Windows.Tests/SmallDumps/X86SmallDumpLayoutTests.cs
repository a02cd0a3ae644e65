using System.Diagnostics;
using System.Formats.Tar;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Windows.Tests;

/// <summary>The offsets by which small dumps of 32-bit Windows are read, against the published type tables of every x86 kernel at hand.</summary>
public sealed class X86SmallDumpLayoutTests
{
    private const string Ending = "-x86.json";

    [Fact]
    public void EveryOffsetIsThatOfTheTypeTables()
    {
        using var unpacker = System.Diagnostics.Process.Start(new ProcessStartInfo("zstd", ["-dc", "--", RealData.PathOf("kernels/layouts.tar.zst")]) { RedirectStandardOutput = true })!;
        using var archive = new TarReader(unpacker.StandardOutput.BaseStream);
        var met = new HashSet<X86SmallDumpLayout>();
        while (archive.GetNextEntry() is { } entry)
        {
            if (!entry.Name.EndsWith(Ending, StringComparison.Ordinal))
                continue;
            using var table = JsonDocument.Parse(entry.DataStream!);
            var types = table.RootElement.GetProperty("user_types");
            var build = Version.Parse(Path.GetFileName(entry.Name)[..^Ending.Length]).Build;
            var expected = new X86SmallDumpLayout(
                (uint)build, types.GetProperty("_EPROCESS").GetProperty("size").GetInt32(), Offset(types, "_EPROCESS", "UniqueProcessId"), Offset(types, "_EPROCESS", "InheritedFromUniqueProcessId"),
                Offset(types, "_EPROCESS", "ImageFileName"), Offset(types, "_EPROCESS", "CreateTime"), Offset(types, "_EPROCESS", "ExitTime"), Offset(types, "_EPROCESS", "Peb"),
                Offset(types, "_EPROCESS", "ActiveThreads"), Offset(types, "_ETHREAD", "Cid", "UniqueThread"), Offset(types, "_KTHREAD", "ApcState", "Process"), Offset(types, "_KPRCB", "Number"),
                Offset(types, "_KPRCB", "ProcessorState", "SpecialRegisters"));
            Assert.Contains(expected, X86SmallDumpLayout.All);
            met.Add(expected);
            Assert.Equal(X86SmallDumpLayout.CurrentThread, Offset(types, "_KPRCB", "CurrentThread"));
            Assert.Equal(X86SmallDumpLayout.DirectoryTableBase, Offset(types, "_KPROCESS", "DirectoryTableBase"));

            var (size, special) = (types.GetProperty("_CONTEXT").GetProperty("size").GetInt32(), types.GetProperty("_KSPECIAL_REGISTERS").GetProperty("size").GetInt32());
            Assert.Equal((X86ContextLayout.Size, X86SpecialRegistersLayout.Size), (size, special));
            foreach (var (name, at) in new[]
            {
                ("Dr7", X86ContextLayout.Dr7), ("SegGs", X86ContextLayout.SegGs), ("Edi", X86ContextLayout.Edi), ("Ebp", X86ContextLayout.Ebp), ("Eip", X86ContextLayout.Eip), ("SegCs", X86ContextLayout.SegCs),
                ("EFlags", X86ContextLayout.EFlags), ("Esp", X86ContextLayout.Esp), ("SegSs", X86ContextLayout.SegSs), ("ExtendedRegisters", X86ContextLayout.Extended),
            })
                Assert.Equal(Offset(types, "_CONTEXT", name), at);
            foreach (var (name, at) in new[]
            {
                ("Cr0", X86SpecialRegistersLayout.Cr0), ("Cr4", X86SpecialRegistersLayout.Cr4), ("KernelDr7", X86SpecialRegistersLayout.KernelDr7), ("Tr", X86SpecialRegistersLayout.Tr),
                ("Ldtr", X86SpecialRegistersLayout.Ldtr),
            })
                Assert.Equal(Offset(types, "_KSPECIAL_REGISTERS", name), at);
            Assert.Equal(X86SpecialRegistersLayout.GdtrLimit, Offset(types, "_KSPECIAL_REGISTERS", "Gdtr", "Limit"));
            Assert.Equal(X86SpecialRegistersLayout.IdtrLimit, Offset(types, "_KSPECIAL_REGISTERS", "Idtr", "Limit"));
        }
        unpacker.WaitForExit();
        // And none that no table has.
        Assert.Equal(X86SmallDumpLayout.All.Count, met.Count);
    }

    private static int Offset(JsonElement types, string type, params ReadOnlySpan<string> path)
    {
        var offset = 0;
        foreach (var name in path)
        {
            var field = types.GetProperty(type).GetProperty("fields").GetProperty(name);
            offset += field.GetProperty("offset").GetInt32();
            type = field.GetProperty("type").TryGetProperty("name", out var next) ? next.GetString()! : "";
        }
        return offset;
    }
}
