namespace Forengate.Windows;

/// <summary>The outcome of looking for a Windows kernel in a view.</summary>
/// <param name="System">The 64-bit system found; null where there is none.</param>
/// <param name="Facts">What was found and how, in reading order; also what was found before the search failed.</param>
/// <param name="Reason">One line: why there is no system, and what to try. Null where there is one.</param>
public sealed record WindowsSearch(WindowsSystem? System, IReadOnlyList<Fact> Facts, string? Reason)
{
    /// <summary>A 32-bit system, where that was found; <see cref="System"/> and <see cref="Reason"/> are null then.</summary>
    public X86System? X86 { get; init; }
}
