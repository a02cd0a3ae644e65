using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Windows.Tests;

/// <summary>Every offset of the 32-bit layouts against the type tables they come from, of every revision that there is a table for.</summary>
public sealed class X86LayoutsTests
{
    [Fact]
    public void EveryOffsetIsThatOfItsSource()
    {
        var archive = RealData.PathOf("kernels/layouts.tar.zst");
        var builds = new HashSet<uint>();
        foreach (var name in Tar("-tf", archive).Split('\n').Where(line => line.EndsWith("-x86.json", StringComparison.Ordinal)))
        {
            using var json = JsonDocument.Parse(Tar("-xOf", archive, name));
            var types = json.RootElement.GetProperty("user_types");
            int? Of(string type, string path) => Find(types, type, path.Split('.'));
            var build = uint.Parse(Path.GetFileName(name).Split('.')[2].Split('-')[0], CultureInfo.InvariantCulture);
            var layout = Assert.Single(X86Layouts.For(build));
            builds.Add(build);
            (string What, int? Ours, int? Theirs)[] offsets =
            [
                ("UniqueProcessId", layout.ProcessId, Of("_EPROCESS", "UniqueProcessId")),
                ("ActiveProcessLinks", layout.ProcessLinks, Of("_EPROCESS", "ActiveProcessLinks")),
                ("InheritedFromUniqueProcessId", layout.ParentId, Of("_EPROCESS", "InheritedFromUniqueProcessId")),
                ("ImageFileName", layout.ImageFileName, Of("_EPROCESS", "ImageFileName")),
                ("CreateTime", layout.CreateTime, Of("_EPROCESS", "CreateTime")),
                ("ExitTime", layout.ExitTime, Of("_EPROCESS", "ExitTime")),
                ("Peb", layout.Peb, Of("_EPROCESS", "Peb")),
                ("ActiveThreads", layout.ActiveThreads, Of("_EPROCESS", "ActiveThreads")),
                ("ThreadListHead", layout.ThreadListHead, Of("_EPROCESS", "ThreadListHead")),
                ("DirectoryTableBase", X86Layout.DirectoryTableBase, Of("_EPROCESS", "Pcb.DirectoryTableBase")),
                ("ThreadListEntry", layout.ThreadListEntry, Of("_ETHREAD", "ThreadListEntry")),
                ("ApcState.Process", layout.ThreadProcess, Of("_KTHREAD", "ApcState.Process")),
                ("KPRCB.Number", layout.ProcessorNumber, Of("_KPRCB", "Number")),
                ("KPRCB.ProcessorState", layout.ProcessorState, Of("_KPRCB", "ProcessorState")),
                ("KPRCB.Context", layout.ContextPointer, Of("_KPRCB", "Context")),
                ("KPRCB.CurrentThread", X86Layout.CurrentThread, Of("_KPRCB", "CurrentThread")),
                ("SpecialRegisters", X86ProcessorReader.ContextLength, Of("_KPROCESSOR_STATE", "SpecialRegisters")),
                ("KPCR.SelfPcr", X86Layout.PcrSelf, Of("_KPCR", "SelfPcr")),
                ("KPCR.Prcb", X86Layout.PcrPrcb, Of("_KPCR", "Prcb")),
                ("KPCR.KdVersionBlock", X86Layout.PcrVersionBlock, Of("_KPCR", "KdVersionBlock")),
                ("KPCR.GDT", X86Layout.PcrGdt, Of("_KPCR", "GDT")),
                ("KPCR.PrcbData", X86Layout.PcrContainedPrcb, Of("_KPCR", "PrcbData")),
                ("DllBase", X86Layout.ModuleBase, Of("_LDR_DATA_TABLE_ENTRY", "DllBase")),
                ("EntryPoint", X86Layout.ModuleEntryPoint, Of("_LDR_DATA_TABLE_ENTRY", "EntryPoint")),
                ("SizeOfImage", X86Layout.ModuleSize, Of("_LDR_DATA_TABLE_ENTRY", "SizeOfImage")),
                ("FullDllName", X86Layout.ModulePath, Of("_LDR_DATA_TABLE_ENTRY", "FullDllName")),
                ("BaseDllName", X86Layout.ModuleName, Of("_LDR_DATA_TABLE_ENTRY", "BaseDllName")),
                ("TimeDateStamp", X86Layout.ModuleTimeDateStamp, Of("_LDR_DATA_TABLE_ENTRY", "TimeDateStamp")),
                ("PEB.ProcessParameters", 0x10, Of("_PEB", "ProcessParameters")),
            ];
            Assert.All(offsets, one => Assert.True(one.Ours == one.Theirs, $"{name}: {one.What} is at {one.Theirs:x} there, {one.Ours:x} here"));
        }
        Assert.Equal(X86Layouts.All.Select(layout => layout.Build).ToHashSet(), builds);
    }

    /// <summary>The offset of a member, also where it lies in members without a name of their own.</summary>
    private static int? Find(JsonElement types, string type, ReadOnlySpan<string> path)
    {
        if (!types.TryGetProperty(type, out var definition))
            return null;
        foreach (var field in definition.GetProperty("fields").EnumerateObject())
        {
            var offset = field.Value.GetProperty("offset").GetInt32();
            var inner = field.Value.GetProperty("type").TryGetProperty("name", out var named) ? named.GetString() : null;
            if (field.Name == path[0])
                return path.Length == 1 ? offset : inner is null ? null : offset + Find(types, inner, path[1..]);
            var isNameless = field.Name.StartsWith("__", StringComparison.Ordinal) || (field.Value.TryGetProperty("anonymous", out var anonymous) && anonymous.GetBoolean())
                || (field.Name.StartsWith('u') && inner?.StartsWith("__unnamed", StringComparison.Ordinal) == true);
            if (isNameless && inner is not null && Find(types, inner, path) is { } deeper)
                return offset + deeper;
        }
        return null;
    }

    private static string Tar(params ReadOnlySpan<string> arguments)
    {
        using var tar = System.Diagnostics.Process.Start(new ProcessStartInfo("tar", ["--zstd", .. arguments]) { RedirectStandardOutput = true })!;
        var output = tar.StandardOutput.ReadToEnd();
        tar.WaitForExit();
        Assert.Equal(0, tar.ExitCode);
        return output;
    }
}
