using System.Globalization;

namespace Forengate.Engine.Tests.Families;

/// <summary>One way to be of a twin of a family: what the finding, dumping and listing of a kernel hangs on.</summary>
public sealed record FamilyCase(string Mode, bool Encoded, int Cpus, bool AboveHole, bool KvaShadow)
{
    /// <summary>Switches the full product on instead of the covering set.</summary>
    public const string FullVariable = "FORENGATE_FULL_MATRIX";

    private static readonly string[] Modes = ["kernel", "user", "entry"];

    /// <summary>
    /// Six cases in which every two values of different options meet (<see cref="FamilyCaseTests"/>): each mode with a word of four bits and with its opposite.
    /// </summary>
    public static IReadOnlyList<FamilyCase> Covering { get; } =
        [.. new[] { 0b0000, 0b0011, 0b0101 }.SelectMany((bits, mode) => new[] { Of(mode, bits), Of(mode, ~bits) })];

    /// <summary>Every combination.</summary>
    public static IReadOnlyList<FamilyCase> All { get; } = [.. Enumerable.Range(0, 48).Select(number => Of(number / 16, number % 16))];

    public static IReadOnlyList<FamilyCase> Chosen => Environment.GetEnvironmentVariable(FullVariable) == "1" ? All : Covering;

    /// <summary>Options for <c>twin make</c>.</summary>
    public IReadOnlyList<string> MakeOptions(string family) =>
    [
        "--build", family, "--cpu-modes", Mode, "--kdbg", Encoded ? "encoded" : "plain", "--cpus", Cpus.ToString(CultureInfo.InvariantCulture), "--memory", "128",
        "--low-memory", AboveHole ? "64" : "128", "--kva", KvaShadow ? "on" : "off", "--seed", Seed(family).ToString(CultureInfo.InvariantCulture), "--hidden", "2", "--exited", "4",
    ];

    public override string ToString() =>
        $"{Mode} mode, KDBG {(Encoded ? "encoded" : "plain")}, {Cpus} CPU(s), {(AboveHole ? "above" : "below")} the hole, KVA shadow {(KvaShadow ? "on" : "off")}";

    /// <summary>Another one each, so that bases, ids and names differ too.</summary>
    private uint Seed(string family) =>
        uint.Parse(family, CultureInfo.InvariantCulture) * 100 + (uint)Array.IndexOf(Modes, Mode) * 16 + (Encoded ? 1u : 0) + (Cpus > 1 ? 2u : 0) + (AboveHole ? 4u : 0) + (KvaShadow ? 8u : 0);

    private static FamilyCase Of(int mode, int bits) => new(Modes[mode], (bits & 1) != 0, (bits & 2) != 0 ? 8 : 1, (bits & 4) != 0, (bits & 8) != 0);
}
