using System.Globalization;

namespace Forengate.Symbols.Tests;

/// <summary>How many spoilt inputs are tried: few in every run, more where someone asks.</summary>
internal static class HostileRounds
{
    public static int Count(int usual) =>
        int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_FUZZ_ROUNDS"), NumberStyles.None, CultureInfo.InvariantCulture, out var rounds) ? rounds : usual;
}
