using System.Globalization;

namespace Forengate.Memory;

/// <summary>
/// How a PC of QEMU's divides its RAM around the hole below 4 GiB (QEMU, hw/i386/pc_piix.c, pc_q35.c, microvm.c), as far as the machine type and the amount of RAM decide it.
/// </summary>
public static class RamSplit
{
    public const ulong GiB = 1UL << 30;
    public const ulong FourGiB = 4 * GiB;

    /// <summary>Where RAM above the hole begins when an AMD guest's RAM would reach the HyperTransport hole below 1 TiB (QEMU 7.1, hw/i386/pc.c).</summary>
    public const ulong AboveHyperTransport = 1UL << 40;

    /// <summary>The largest low RAM of an i440FX: 3.5 GiB, and 3 GiB where RAM does not fit below (machine types from 2.0 on).</summary>
    private const ulong I440FxMost = 0xE000_0000;
    private const ulong I440FxAligned = 0xC000_0000;

    /// <summary>Q35: 2.75 GiB, and 2 GiB where RAM does not fit below.</summary>
    private const ulong Q35Most = 0xB000_0000;
    private const ulong Q35Aligned = 0x8000_0000;

    private const ulong MicrovmMost = 0xC000_0000;

    /// <summary>The low RAM of a machine that was not told otherwise (<c>max-ram-below-4g</c>).</summary>
    /// <param name="machine">Its type: "pc-i440fx-7.2", "pc-q35-10.0", "microvm"; null: unknown.</param>
    /// <param name="ram">All its RAM without memory devices, in bytes.</param>
    /// <param name="rule">What was gone by, for people.</param>
    public static ulong Low(string? machine, ulong ram, out string rule)
    {
        if (machine is not null && machine.Contains("q35", StringComparison.Ordinal))
        {
            rule = $"as machine type {machine} divides {Size(ram)}";
            return Math.Min(ram, ram >= Q35Most ? Q35Aligned : Q35Most);
        }
        if (machine == "microvm")
        {
            rule = $"as machine type microvm divides {Size(ram)}";
            return Math.Min(ram, MicrovmMost);
        }
        if (machine is null || IsI440Fx(machine))
        {
            rule = machine is null ? $"as the machine type pc divides {Size(ram)} (the stream names none)" : $"as machine type {machine} divides {Size(ram)}";
            return Math.Min(ram, ram >= I440FxMost && IsAligned(machine) ? I440FxAligned : I440FxMost);
        }
        // Distributions name their machine types themselves (pc-i440fx-rhel7.6.0, pc-q35-jammy); one that names neither chipset is taken for the default one.
        rule = $"as machine type pc divides {Size(ram)}: '{machine}' is not known";
        return Math.Min(ram, ram >= I440FxMost ? I440FxAligned : I440FxMost);
    }

    /// <summary>Splits that <c>max-ram-below-4g</c> makes, in whole GiB as QEMU wants them, and the chipsets' own.</summary>
    public static IEnumerable<ulong> Others(ulong ram) => new[] { GiB, 2 * GiB, Q35Most, 3 * GiB, I440FxMost, FourGiB - (GiB / 8), GiB / 2, GiB / 4 }.Where(low => low < ram).Append(Math.Min(ram, FourGiB));

    public static string Size(ulong bytes) => bytes % GiB == 0
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes / GiB} GiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1 << 20):0.###} MiB");

    private static bool IsI440Fx(string machine) => machine.Contains("i440fx", StringComparison.Ordinal) || machine is "pc" or "isapc" || machine.StartsWith("pc-0.", StringComparison.Ordinal)
        || machine.StartsWith("pc-1.", StringComparison.Ordinal);

    /// <summary>Machine types before 2.0 did not align the split to 1 GiB.</summary>
    private static bool IsAligned(string? machine) => machine is null || !(machine.StartsWith("pc-0.", StringComparison.Ordinal) || machine.StartsWith("pc-1.", StringComparison.Ordinal)
        || machine.Contains("i440fx-1.", StringComparison.Ordinal));
}
