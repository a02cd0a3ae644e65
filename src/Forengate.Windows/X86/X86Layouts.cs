using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>The layouts of 32-bit kernels that a store knows by version.</summary>
internal static class X86Layouts
{
    /// <summary>Newest first.</summary>
    public static IReadOnlyList<X86Layout> All(ProfileStore profiles) =>
        [.. profiles.Layouts.Where(layout => layout.Machine == VersionLayout.MachineX86).OrderByDescending(layout => layout.Version).Select(X86Layout.Of).OfType<X86Layout>()];

    /// <summary>Those of the build, of revisions that differ; else of its two neighbours as hypotheses, the nearer first. Each is to be proved on memory.</summary>
    public static IReadOnlyList<X86Layout> For(ProfileStore profiles, uint build)
    {
        var all = All(profiles);
        var near = all.Any(layout => layout.Build == build) ? [build] : new[] { all.LastOrDefault(layout => layout.Build > build)?.Build, all.FirstOrDefault(layout => layout.Build < build)?.Build };
        return [.. near.OfType<uint>().OrderBy(known => Math.Abs((long)known - build)).SelectMany(known => all.Where(layout => layout.Build == known)).DistinctBy(layout => layout with { Version = "", ProcessSize = 0 })];
    }

    /// <summary>That of a small dump's build which agrees with all that the dump's KDBG says; null where none does.</summary>
    public static X86Layout? Of(ProfileStore profiles, uint build, ReadOnlySpan<byte> kdbg)
    {
        foreach (var layout in All(profiles))
        {
            if (layout.Build == build && Agrees(kdbg, DebuggerDataField.SizeEProcess, layout.ProcessSize) && Agrees(kdbg, DebuggerDataField.OffsetEprocessParentCid, layout.ParentId)
                && Agrees(kdbg, DebuggerDataField.OffsetEprocessPeb, layout.Peb) && Agrees(kdbg, DebuggerDataField.OffsetEprocessDirectoryTableBase, layout.DirectoryTableBase)
                && Agrees(kdbg, DebuggerDataField.OffsetKThreadApcProcess, layout.ThreadProcess) && Agrees(kdbg, DebuggerDataField.OffsetPrcbCurrentThread, layout.CurrentThread))
                return layout;
        }
        return null;
    }

    private static bool Agrees(ReadOnlySpan<byte> kdbg, DebuggerDataField field, int value) => SmallDumpReader.Word(kdbg, field) is not { } said || said == value;
}
