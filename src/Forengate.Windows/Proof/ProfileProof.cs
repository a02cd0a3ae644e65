namespace Forengate.Windows;

/// <summary>How a check of a profile against memory came out.</summary>
public enum ProofVerdict
{
    Passed,
    Failed,

    /// <summary>The profile lacks what the check needs, or memory does: nothing can be said.</summary>
    NotApplicable,
}

/// <summary>One thing that must hold if the profile is the kernel's.</summary>
/// <param name="Name">What must hold.</param>
/// <param name="Verdict">Whether it does.</param>
/// <param name="Evidence">What was seen, in one line.</param>
/// <param name="IsEssential">Where it fails, lists of processes and drivers or dumps would be wrong.</param>
public readonly record struct ProofCheck(string Name, ProofVerdict Verdict, string Evidence, bool IsEssential);

/// <summary>The profile held against the memory at hand: independent checks, each with its evidence. Immutable.</summary>
public sealed class ProfileProof
{
    /// <summary>A profile with a larger share of failures is not the kernel's, or the memory is not whole.</summary>
    private const int MostFailedPercent = 10;

    internal ProfileProof(IReadOnlyList<ProofCheck> checks)
    {
        Checks = checks;
        Passed = checks.Count(static check => check.Verdict == ProofVerdict.Passed);
        Failed = checks.Count(static check => check.Verdict == ProofVerdict.Failed);
    }

    public IReadOnlyList<ProofCheck> Checks { get; }

    public int Passed { get; }

    public int Failed { get; }

    /// <summary>Checks that could say something.</summary>
    public int Applicable => Passed + Failed;

    /// <summary>True where nothing essential failed and little else: the profile may be used.</summary>
    public bool Holds => Applicable > 0 && Failed * 100 <= Applicable * MostFailedPercent && !Checks.Any(static check => check is { Verdict: ProofVerdict.Failed, IsEssential: true });

    /// <summary>"64 of 65 checks passed, 7 not applicable".</summary>
    public override string ToString() => $"{Passed} of {Applicable} checks passed" + (Checks.Count > Applicable ? $", {Checks.Count - Applicable} not applicable" : "");

    /// <summary>The score and each failure, for people.</summary>
    internal IEnumerable<Fact> Facts()
    {
        var failed = Checks.Where(static check => check.Verdict == ProofVerdict.Failed).ToList();
        yield return new Fact(
            "profile self-test", ToString(),
            failed.Count == 0 ? "the kernel's structures in this memory, read by the profile, agree with each other, with KDBG, images and registers"
            : Holds ? "the profile fits; what failed is listed: torn or changed memory"
            : "THE PROFILE DOES NOT FIT THIS MEMORY: what is read by it may be wrong");
        foreach (var check in failed)
            yield return new Fact($"self-test failed: {check.Name}", null, check.Evidence);
    }
}
