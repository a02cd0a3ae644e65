using System.Globalization;
using Forengate.Symbols;

namespace Forengate.PackBuilder;

/// <summary>Kernels whose types and symbols are known, by PDB GUID and age: they become profiles.</summary>
internal static class FullTables
{
    /// <summary>
    /// Two kernels that their source calls 18326 are of 18362, with two digits swapped: revisions 535 and 778 are 18362's (System Informer's list has them), their central types are those of 18362.476 and .592,
    /// between which the former lies, and no globals differ by more than 0x60 from those. There was no build 18326 with such revisions.
    /// </summary>
    private const string Misprint = "10.0.18326.", Meant = "10.0.18362.";

    /// <summary>Adds all of an archive.</summary>
    /// <param name="writer">The pack to be.</param>
    /// <param name="archive">"ntkrnlmp.pdb/GUID-AGE.json" files.</param>
    /// <param name="kernels">Lines of windows_version,os,pdb_guid_age.</param>
    /// <returns>How many there were.</returns>
    public static int AddTo(PackWriter writer, string archive, string kernels)
    {
        var versions = File.ReadLines(kernels).Skip(1)
            .Select(line => line.Split(','))
            .ToDictionary(cells => cells[2], cells => Version.Parse(cells[0].Replace(Misprint, Meant, StringComparison.Ordinal)), StringComparer.OrdinalIgnoreCase);
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

    /// <summary>Adds all kernels of a pack that was made from such tables.</summary>
    /// <returns>How many there were.</returns>
    public static int AddTo(PackWriter writer, ProfilePack pack)
    {
        for (var i = 0; i < pack.Count; i++)
        {
            var profile = pack[i];
            if (!writer.Add(profile.CodeView.Guid, profile.CodeView.Age, profile.Version, profile.SizeOf, profile.Field, profile.RvaOf))
                throw new InvalidDataException($"{profile.CodeView.Key} occurs twice");
        }
        return pack.Count;
    }
}
