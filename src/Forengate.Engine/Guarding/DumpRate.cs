using System.Globalization;

namespace Forengate.Engine;

/// <summary>How many dumps of one guest are made in a stretch of time.</summary>
/// <param name="Count">At most so many, 1 or more.</param>
/// <param name="Window">In any stretch of this length.</param>
public sealed record DumpRate(int Count, TimeSpan Window)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Count} in {GuardWords.Of(Window)}");
}
