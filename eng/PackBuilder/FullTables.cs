using System.Globalization;
using Forengate.Symbols;

namespace Forengate.PackBuilder;

/// <summary>Kernels whose types and symbols are known, by PDB GUID and age: they become profiles.</summary>
internal static class FullTables
{
    /// <summary>Adds all of an archive.</summary>
    /// <param name="writer">The pack to be.</param>
    /// <param name="archive">"ntkrnlmp.pdb/GUID-AGE.json" files.</param>
    /// <param name="kernels">Lines of windows_version,os,pdb_guid_age.</param>
    /// <returns>How many there were.</returns>
    public static int AddTo(PackWriter writer, string archive, string kernels)
    {
        var versions = File.ReadLines(kernels).Skip(1)
            .Select(line => line.Split(','))
            .ToDictionary(cells => cells[2], cells => Version.Parse(cells[0]), StringComparer.OrdinalIgnoreCase);
        var count = 0;
        TableArchive.Read(archive, (name, content) =>
        {
            if (!name.StartsWith("ntkrnlmp.pdb/", StringComparison.Ordinal))
                return;
            var key = Path.GetFileNameWithoutExtension(name);
            var dash = key.LastIndexOf('-');
            using var tables = new IsfTables(content);
            if (!writer.Add(
                Guid.ParseExact(key[..dash], "N"), uint.Parse(key[(dash + 1)..], CultureInfo.InvariantCulture), versions[key],
                tables.SizeOf, tables.PlaceOf, tables.RvaOf))
                throw new InvalidDataException($"{key} occurs twice");
            count++;
        });
        return count;
    }
}
