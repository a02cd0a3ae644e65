using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>A layout that may be the kernel's: of a known build, or one that is known by version only. Nothing of it is believed before it was held against what memory shows.</summary>
/// <param name="Name">For people: "layout of 10.0.22631.2428 (Vergilius Project)".</param>
/// <param name="Version">File version of the kernel that it is of.</param>
/// <param name="IsWhole">Whether a field that it lacks does not exist there; else it may.</param>
/// <param name="OffsetOf">Where it has a field, in bytes.</param>
/// <param name="SizeOf">How large it has a structure, in bytes.</param>
internal sealed record LayoutHypothesis(string Name, Version Version, bool IsWhole, Func<KernelField, int?> OffsetOf, Func<KernelStruct, int?> SizeOf)
{
    /// <summary>Disagreements that are named; more are counted.</summary>
    private const int MostNamed = 3;

    public static LayoutHypothesis Of(KernelProfile profile) => new($"known build {profile}", profile.Version, IsWhole: true, profile.OffsetOf, profile.SizeOf);

    public static LayoutHypothesis Of(VersionLayout layout) => new($"layout of {layout} ({layout.Origin})", layout.Version, IsWhole: false, layout.OffsetOf, layout.SizeOf);

    /// <summary>How many of the fields deduced it says just so; null where it says another place for one, or another size.</summary>
    public int? AgreesOn(DeductionLedger ledger, IReadOnlyCollection<KeyValuePair<KernelField, int>> deduced)
    {
        var agreed = 0;
        foreach (var (field, offset) in deduced)
        {
            if (OffsetOf(field) is { } said ? said != offset : IsWhole)
                return null;
            agreed += OffsetOf(field) is null ? 0 : 1;
        }
        return WrongSizes(ledger).Any() ? null : agreed;
    }

    /// <summary>Where it contradicts memory, in words; empty where it does not.</summary>
    public string Disagreement(DeductionLedger ledger, IReadOnlyCollection<KeyValuePair<KernelField, int>> deduced)
    {
        var wrong = deduced.Where(pair => OffsetOf(pair.Key) is { } said && said != pair.Value)
            .Select(pair => $"{KernelSchema.NameOf(pair.Key)} +0x{OffsetOf(pair.Key):x}, memory shows +0x{pair.Value:x}")
            .Concat(WrongSizes(ledger).Select(type => $"sizeof {KernelSchema.Structs[(int)type]} 0x{SizeOf(type):x}, memory shows 0x{ledger.Table.SizeOf(type):x}"))
            .ToList();
        return string.Join("; ", wrong.Take(MostNamed)) + (wrong.Count > MostNamed ? $"; {wrong.Count - MostNamed} more" : "");
    }

    private IEnumerable<KernelStruct> WrongSizes(DeductionLedger ledger) =>
        ((KernelStruct[])[KernelStruct.EPROCESS, KernelStruct.ETHREAD, KernelStruct.KPRCB])
            .Where(type => ledger.Table.SizeOf(type) is { } size && (SizeOf(type) is { } said ? said != size : IsWhole));
}
