using Forengate.Engine;
using Forengate.Symbols;
using Forengate.Windows;

namespace Forengate.Cli.Output;

/// <summary>The columns of what <c>symbols</c> lists. JSON and CSV field names here are promises: add, never rename.</summary>
internal static class SymbolTables
{
    public static readonly Column<KnownKernel>[] Kernels =
    [
        new("BUILD", "version", k => Cell.Text(k.Version?.ToString())),
        new("GUID-AGE", "key", k => Cell.Text(k.CodeView?.Key)),
        new("ARCH", "architecture", k => Cell.Text(ArchitectureOf(k.Profile))),
        new("SOURCE", "source", k => Cell.Text(k.Source)),
        new("FILE", "file", k => Cell.Text(k.File)),
        new("PROBLEM", "problem", k => Cell.Text(k.Problem)),
    ];

    public static readonly Column<VersionLayout>[] Layouts =
    [
        new("VERSION", "version", l => Cell.Text(l.Version.ToString())),
        new("ARCH", "architecture", l => Cell.Text(l.Machine == VersionLayout.MachineX86 ? "x86" : "x64")),
        new("PUBLISHED BY", "origin", l => Cell.Text(l.Origin)),
    ];

    public static readonly Column<AddedKernel>[] Added =
    [
        new("OUTCOME", "outcome", a => Cell.Text(a.Outcome)),
        new("BUILD", "version", a => Cell.Text(a.Version?.ToString())),
        new("GUID-AGE", "key", a => Cell.Text(a.CodeView?.Key)),
        new("FROM", "from", a => Cell.Text(a.Source)),
        new("STORED AS", "storedAs", a => Cell.Text(a.StoredAs)),
    ];

    public static readonly Column<TypeRow>[] Fields =
    [
        new("OFFSET", "offset", r => Cell.Address((ulong)r.Offset)),
        new("SIZE", "size", r => Cell.Number(r.Size)),
        new("BITS", "bits", r => Cell.Text(r.BitLength is { } length ? length == 1 ? $"{r.BitPosition}" : $"{r.BitPosition}-{r.BitPosition + length - 1}" : null)),
        new("FIELD", "field", r => Cell.Text(r.Field)),
        new("TYPE", "type", r => Cell.Text(r.Type)),
        new(null, "bitPosition", r => Cell.Number(r.BitPosition)),
        new(null, "bitLength", r => Cell.Number(r.BitLength)),
    ];

    public static readonly Column<TypeDifference>[] Differences =
    [
        new("FIELD", "field", d => Cell.Text(d.Field)),
        new("OFFSET", "offset", d => Cell.Address((ulong?)d.Offset)),
        new("THERE", "otherOffset", d => Cell.Address((ulong?)d.OtherOffset)),
        new("CHANGE", "change", d => Cell.Text(d.Change)),
    ];

    public static readonly Column<ProofCheck>[] Checks =
    [
        new("VERDICT", "verdict", c => Cell.Text(c.Verdict switch { ProofVerdict.Passed => "passed", ProofVerdict.Failed => "failed", _ => "not applicable" })),
        new("CHECK", "check", c => Cell.Text(c.Name)),
        new("SEEN", "evidence", c => Cell.Text(c.Evidence)),
        new(null, "essential", c => Cell.Boolean(c.IsEssential)),
    ];

    /// <summary>By what only one architecture's kernels have; null where the profile does not tell.</summary>
    private static string? ArchitectureOf(KernelProfile? profile) => profile?.SizeOf(KernelStruct.LIST_ENTRY) switch
    {
        null => null,
        8 => "x86",
        _ => profile.SizeOf(KernelStruct.KTSS64) is not null || profile.SizeOf(KernelStruct.KIDTENTRY64) is not null ? "x64" : "arm64",
    };
}
