using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Forengate.Symbols;
using Forengate.Testing;

namespace Forengate.Windows.Tests;

/// <summary>What the 32-bit layouts take from the carried pack, and the constants beside them, against the type tables of every revision.</summary>
public sealed class X86LayoutsTests
{
    [Fact]
    public void EveryOffsetIsThatOfItsSource()
    {
        var archive = RealData.PathOf("kernels/layouts.tar.zst");
        var carried = X86Layouts.All(ProfileStore.Carried).ToDictionary(layout => layout.Version);
        var versions = new HashSet<string>();
        foreach (var name in Tar("-tf", archive).Split('\n').Where(line => line.EndsWith("-x86.json", StringComparison.Ordinal)))
        {
            using var json = JsonDocument.Parse(Tar("-xOf", archive, name));
            var types = json.RootElement.GetProperty("user_types");
            int? Of(string type, string path) => Find(types, type, path.Split('.'));
            int? SizeOf(string type) => types.TryGetProperty(type, out var definition) ? definition.GetProperty("size").GetInt32() : null;
            var version = Path.GetFileName(name)[..^"-x86.json".Length];
            var layout = carried[version];
            versions.Add(version);
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
                ("DirectoryTableBase", layout.DirectoryTableBase, Of("_EPROCESS", "Pcb.DirectoryTableBase")),
                ("sizeof _EPROCESS", layout.ProcessSize, SizeOf("_EPROCESS")),
                ("Cid.UniqueThread", layout.ThreadId, Of("_ETHREAD", "Cid.UniqueThread")),
                ("ThreadListEntry", layout.ThreadListEntry, Of("_ETHREAD", "ThreadListEntry")),
                ("ApcState.Process", layout.ThreadProcess, Of("_KTHREAD", "ApcState.Process")),
                ("KPRCB.Number", layout.ProcessorNumber, Of("_KPRCB", "Number")),
                ("KPRCB.ProcessorState", layout.ProcessorState, Of("_KPRCB", "ProcessorState")),
                ("KPRCB.Context", layout.ContextPointer, Of("_KPRCB", "Context")),
                ("KPRCB.CurrentThread", layout.CurrentThread, Of("_KPRCB", "CurrentThread")),
                ("ProcessorState.SpecialRegisters", layout.SpecialRegisters, Of("_KPRCB", "ProcessorState.SpecialRegisters")),
                ("SpecialRegisters", X86ProcessorReader.ContextLength, Of("_KPROCESSOR_STATE", "SpecialRegisters")),
                ("KPCR.SelfPcr", X86Layout.PcrSelf, Of("_KPCR", "SelfPcr")),
                ("KPCR.Prcb", X86Layout.PcrPrcb, Of("_KPCR", "Prcb")),
                ("KPCR.KdVersionBlock", X86Layout.PcrVersionBlock, Of("_KPCR", "KdVersionBlock")),
                ("KPCR.GDT", X86Layout.PcrGdt, Of("_KPCR", "GDT")),
                ("KPCR.PrcbData", X86Layout.PcrContainedPrcb, Of("_KPCR", "PrcbData")),
                ("DllBase", layout.Module.Base, Of("_LDR_DATA_TABLE_ENTRY", "DllBase")),
                ("EntryPoint", layout.Module.EntryPoint, Of("_LDR_DATA_TABLE_ENTRY", "EntryPoint")),
                ("SizeOfImage", layout.Module.ImageSize, Of("_LDR_DATA_TABLE_ENTRY", "SizeOfImage")),
                ("FullDllName", layout.Module.Path, Of("_LDR_DATA_TABLE_ENTRY", "FullDllName")),
                ("BaseDllName", layout.Module.Name, Of("_LDR_DATA_TABLE_ENTRY", "BaseDllName")),
                ("TimeDateStamp", layout.Module.TimeDateStamp, Of("_LDR_DATA_TABLE_ENTRY", "TimeDateStamp")),
                ("PEB.ProcessParameters", 0x10, Of("_PEB", "ProcessParameters")),
                ("sizeof _CONTEXT", X86ContextLayout.Size, SizeOf("_CONTEXT")),
                ("CONTEXT.Dr7", X86ContextLayout.Dr7, Of("_CONTEXT", "Dr7")),
                ("CONTEXT.SegGs", X86ContextLayout.SegGs, Of("_CONTEXT", "SegGs")),
                ("CONTEXT.Edi", X86ContextLayout.Edi, Of("_CONTEXT", "Edi")),
                ("CONTEXT.Ebp", X86ContextLayout.Ebp, Of("_CONTEXT", "Ebp")),
                ("CONTEXT.Eip", X86ContextLayout.Eip, Of("_CONTEXT", "Eip")),
                ("CONTEXT.SegCs", X86ContextLayout.SegCs, Of("_CONTEXT", "SegCs")),
                ("CONTEXT.EFlags", X86ContextLayout.EFlags, Of("_CONTEXT", "EFlags")),
                ("CONTEXT.Esp", X86ContextLayout.Esp, Of("_CONTEXT", "Esp")),
                ("CONTEXT.SegSs", X86ContextLayout.SegSs, Of("_CONTEXT", "SegSs")),
                ("CONTEXT.ExtendedRegisters", X86ContextLayout.Extended, Of("_CONTEXT", "ExtendedRegisters")),
                ("sizeof _KSPECIAL_REGISTERS", X86SpecialRegistersLayout.Size, SizeOf("_KSPECIAL_REGISTERS")),
                ("Cr0", X86SpecialRegistersLayout.Cr0, Of("_KSPECIAL_REGISTERS", "Cr0")),
                ("Cr4", X86SpecialRegistersLayout.Cr4, Of("_KSPECIAL_REGISTERS", "Cr4")),
                ("KernelDr7", X86SpecialRegistersLayout.KernelDr7, Of("_KSPECIAL_REGISTERS", "KernelDr7")),
                ("Gdtr.Limit", X86SpecialRegistersLayout.GdtrLimit, Of("_KSPECIAL_REGISTERS", "Gdtr.Limit")),
                ("Idtr.Limit", X86SpecialRegistersLayout.IdtrLimit, Of("_KSPECIAL_REGISTERS", "Idtr.Limit")),
                ("Tr", X86SpecialRegistersLayout.Tr, Of("_KSPECIAL_REGISTERS", "Tr")),
                ("Ldtr", X86SpecialRegistersLayout.Ldtr, Of("_KSPECIAL_REGISTERS", "Ldtr")),
            ];
            Assert.All(offsets, one => Assert.True(one.Ours == one.Theirs, $"{name}: {one.What} is at {one.Theirs:x} there, {one.Ours:x} here"));
        }
        Assert.Equal(carried.Keys.ToHashSet(), versions);
    }

    [Fact]
    public void ABuildsOwnRevisionsAreOneHypothesisAndAStrangerHasItsTwoNeighbours()
    {
        Assert.Equal("6.3.9600.17415", Assert.Single(X86Layouts.For(ProfileStore.Carried, 9600)).Version);
        Assert.Equal("10.0.19041.1288", Assert.Single(X86Layouts.For(ProfileStore.Carried, 19041)).Version);
        Assert.Equal(["10.0.17763.107", "10.0.19041.1288"], X86Layouts.For(ProfileStore.Carried, 18362).Select(layout => layout.Version));
        Assert.Equal(["5.1.2600.5512"], X86Layouts.For(ProfileStore.Carried, 2195).Select(layout => layout.Version));
        Assert.Empty(X86Layouts.For(new ProfileStore([]), 19041));
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
