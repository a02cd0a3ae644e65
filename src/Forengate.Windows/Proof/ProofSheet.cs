namespace Forengate.Windows;

/// <summary>Takes checks down while they are made.</summary>
internal sealed class ProofSheet
{
    /// <summary>Of many objects, one in so many may deviate: one torn by a running guest, or changed by whoever hides.</summary>
    private const int MostDeviating = 20;

    private readonly List<ProofCheck> _checks = [];

    public ProfileProof ToProof() => new(_checks.ToArray());

    /// <summary>A plain statement.</summary>
    public void Check(string name, bool? holds, string evidence, bool essential = false) => _checks.Add(new ProofCheck(
        name, holds switch { true => ProofVerdict.Passed, false => ProofVerdict.Failed, null => ProofVerdict.NotApplicable }, evidence, essential));

    /// <summary>Two values from independent sources.</summary>
    public void Equal(string name, ulong? ours, ulong? theirs, string source, bool essential = false) => Check(
        name, ours is null || theirs is null ? null : ours == theirs,
        ours is null ? "the profile or memory lacks it" : theirs is null ? $"{source} does not say" : ours == theirs ? $"0x{ours:x} in {source} too" : $"0x{ours:x}, but {source} says 0x{theirs:x}", essential);

    /// <summary>Something that must hold of each of many objects.</summary>
    public void All(string name, int good, int total, string what, bool essential = false) =>
        Check(name, total == 0 ? null : (total - good) * MostDeviating <= total, total == 0 ? $"no {what} to see it by" : $"{good} of {total} {what}", essential);
}
