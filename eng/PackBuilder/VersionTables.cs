using Forengate.Symbols;

namespace Forengate.PackBuilder;

/// <summary>Kernels of which only the types are known, by version and architecture: they become hypotheses.</summary>
internal static class VersionTables
{
    /// <summary>Who published them.</summary>
    public const string Origin = "Vergilius Project";

    /// <summary>
    /// x64 tables of 19041 and later end _KPRCB here, at its first field that Microsoft's headers do not publish. Its size is not the kernel's then, nor that of _KPCR, which ends with it,
    /// nor that of _DRIVER_EXTENSION, of which those tables have the published head only as well.
    /// </summary>
    private const int CutProcessorBlock = 0x700;

    /// <summary>Adds all of an archive of "10.0.22631.2428-x64.json" files.</summary>
    /// <returns>How many there were.</returns>
    public static int AddTo(PackWriter writer, string archive)
    {
        var count = 0;
        TableArchive.Read(archive, (name, content) =>
        {
            var parts = Path.GetFileNameWithoutExtension(name).Split('-');
            using var tables = new IsfTables(content, unnamedOnceOnly: true);
            var isCut = tables.SizeOf(KernelStruct.KPRCB) == CutProcessorBlock;
            if (!writer.AddLayout(
                Version.Parse(parts[0]), parts[1] switch { "x64" => VersionLayout.MachineX64, "x86" => VersionLayout.MachineX86, var other => throw new InvalidDataException($"{name}: architecture {other}") },
                Origin, default,
                type => isCut && type is (KernelStruct.KPRCB or KernelStruct.KPCR or KernelStruct.DRIVER_EXTENSION) ? null : tables.SizeOf(type),
                // 98.7 % of the bit positions are right: what cannot be told from the rest is left out.
                field => tables.PlaceOf(field) is { BitLength: 0 } place ? place : null))
                throw new InvalidDataException($"{name} occurs twice");
            count++;
        });
        return count;
    }
}
