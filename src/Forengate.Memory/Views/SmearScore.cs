using System.Globalization;

namespace Forengate.Memory;

/// <summary>How far a smeared view may be believed. The bounds are rules of thumb, told in docs/capture.md.</summary>
public enum SmearLevel
{
    /// <summary>Less than 1 % of the pages changed and nothing was torn: as good as a stopped guest for lists.</summary>
    Low,

    /// <summary>1 to 10 % of the pages changed, or something was torn and whole when it was read again.</summary>
    Some,

    /// <summary>10 % or more changed, or something stayed torn: take it again, or stop the guest.</summary>
    High,
}

/// <summary>How often structures were read in two states at once, and what came of it.</summary>
/// <param name="ReadAgain">Readings thrown away because their links did not agree, or did not stay.</param>
/// <param name="Unresolved">Lists that did not hold still however often they were read.</param>
public readonly record struct TornReads(int ReadAgain, int Unresolved)
{
    public static TornReads operator +(TornReads left, TornReads right) =>
        new(left.ReadAgain + right.ReadAgain, left.Unresolved + right.Unresolved);

    public static TornReads Add(TornReads left, TornReads right) => left + right;
}

/// <summary>How much of what was read of a running guest changed while it was read: measured, by reading pages again when the work was done.</summary>
public sealed record SmearScore
{
    private const double SomeFrom = 0.01;
    private const double HighFrom = 0.10;

    /// <summary>Different pages read.</summary>
    public required ulong PagesRead { get; init; }

    /// <summary>Of them, pages read again and compared: all, or an even sample.</summary>
    public required ulong PagesCompared { get; init; }

    /// <summary>Of those compared, pages whose bytes are no longer those of the first reading, or that can't be read any more.</summary>
    public required ulong PagesChanged { get; init; }

    /// <summary>From the first read to the last.</summary>
    public required TimeSpan Reading { get; init; }

    /// <summary>What the readers of structures met.</summary>
    public TornReads Torn { get; init; }

    /// <summary>True where <see cref="ChangedShare"/> is an estimate from a sample.</summary>
    public bool IsSample => PagesCompared < PagesRead;

    /// <summary>Share of the pages read that changed, 0 to 1.</summary>
    public double ChangedShare => PagesCompared == 0 ? 0 : (double)PagesChanged / PagesCompared;

    public SmearLevel Level => Torn.Unresolved > 0 || ChangedShare >= HighFrom ? SmearLevel.High
        : Torn != default || ChangedShare >= SomeFrom ? SmearLevel.Some
        : SmearLevel.Low;

    /// <summary>The level as text and JSON have it.</summary>
    public string LevelName => Level switch
    {
        SmearLevel.Low => "low",
        SmearLevel.Some => "some",
        _ => "high",
    };

    /// <summary>For a dump's comment, which is short: at most 48 characters.</summary>
    public string Brief => string.Create(CultureInfo.InvariantCulture, $"smear {LevelName}: {ChangedShare * 100:0.0} % of pages in {Span(Reading)}");

    public override string ToString()
    {
        var changed = IsSample
            ? string.Create(CultureInfo.InvariantCulture, $"about {ChangedShare * 100:0.0} % of the {PagesRead:N0} pages read changed within the {Span(Reading)} of reading ({PagesChanged:N0} of {PagesCompared:N0} compared)")
            : string.Create(CultureInfo.InvariantCulture, $"{PagesChanged:N0} of {PagesRead:N0} pages read changed within the {Span(Reading)} of reading ({ChangedShare * 100:0.0} %)");
        var torn = Torn == default ? ""
            : string.Create(CultureInfo.InvariantCulture, $"; torn lists read again {Torn.ReadAgain:N0} times, {Torn.Unresolved:N0} left unresolved");
        return $"smear {LevelName}: {changed}{torn}";
    }

    private static string Span(TimeSpan span) =>
        span.TotalSeconds >= 1 ? string.Create(CultureInfo.InvariantCulture, $"{span.TotalSeconds:0.0} s") : string.Create(CultureInfo.InvariantCulture, $"{span.TotalMilliseconds:0} ms");
}
