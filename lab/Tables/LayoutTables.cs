using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Forengate.Lab.Tables;

/// <summary>
/// Kernels of which only the types are published, no globals and no GUID. Such a twin's types are the real build's; its globals lie where the nearest carried build has them, and its GUID is made up:
/// no list of builds has it, so that no table says where its globals are.
/// </summary>
internal static class LayoutTables
{
    /// <summary>x64 types of 19041 and later are published with _KPRCB up to here only.</summary>
    private const int CutProcessorBlock = 0x700;

    /// <summary>Behind the last field that those types name; up to the cut they have padding only.</summary>
    private const int PublicProcessorBlock = 0x6D8;

    private const string Unnamed = "__unnamed", Renamed = "__layout";

    /// <summary>The versions there are (of 9200 no twin is made: its address space's nodes are like neither neighbour's), and the carried family that lends what the types do not tell.</summary>
    public static IReadOnlyDictionary<string, string> Donors { get; } = new SortedDictionary<string, string>(StringComparer.Ordinal)
    {
        ["6.1.7600.16385"] = "7601",
        ["6.1.7601.17514"] = "7601",
        ["6.3.9600.16384"] = "9600",
        ["6.3.9600.17415"] = "9600",
        ["10.0.10240.16384"] = "14393",
        ["10.0.10586.0"] = "14393",
        ["10.0.14393.0"] = "14393",
        ["10.0.15063.0"] = "14393",
        ["10.0.16299.15"] = "17763",
        ["10.0.17134.1"] = "17763",
        ["10.0.17763.107"] = "17763",
        ["10.0.19041.264"] = "19041",
        ["10.0.19045.2965"] = "19041",
        ["10.0.22000.1"] = "22000",
        ["10.0.22000.194"] = "22000",
        ["10.0.22631.2428"] = "22000",
    };

    /// <summary>The version a name means: itself, or a build number that only one has; null where none is known by it.</summary>
    public static string? VersionOf(string name)
    {
        var fits = Donors.Keys.Where(version => version == name || version.Split('.')[2] == name).ToList();
        return fits is [var one] ? one : null;
    }

    public static KernelTables Load(SharedData shared, string version)
    {
        var donor = KernelCatalog.LoadCarried(Donors[version]);
        using var document = JsonDocument.Parse(shared.LoadLayout(version));
        var types = donor.AllTypes.ToDictionary(type => type.Name, StringComparer.Ordinal);
        var isCut = false;
        foreach (var type in IsfReader.ReadTypes(document.RootElement).Values)
        {
            // Types without a name are numbered by each source in its own way.
            var fields = type.Fields.ToDictionary(field => field.Key, field => field.Value with { Type = field.Value.Type?.Replace(Unnamed, Renamed, StringComparison.Ordinal) }, StringComparer.Ordinal);
            var size = type.Size;
            if (type.Name == "_KPRCB" && size == CutProcessorBlock && types.TryGetValue(type.Name, out var whole))
            {
                isCut = true;
                size = whole.Size;
                foreach (var field in whole.Fields.Where(field => field.Value.Offset >= PublicProcessorBlock))
                    fields.TryAdd(field.Key, field.Value);
            }
            var name = type.Name.Replace(Unnamed, Renamed, StringComparison.Ordinal);
            types[name] = new KernelType(name, size, fields);
        }
        if (isCut)
        {
            foreach (var cut in (string[])["_KPCR", "_DRIVER_EXTENSION"])
            {
                if (donor.AllTypes.FirstOrDefault(type => type.Name == cut) is { } whole && types.TryGetValue(cut, out var known))
                    types[cut] = known with { Size = whole.Size, Fields = known.Fields.Concat(whole.Fields).DistinctBy(field => field.Key).ToDictionary(StringComparer.Ordinal) };
            }
        }
        var guid = Convert.ToHexString(SHA256.HashData(Encoding.ASCII.GetBytes(version)).AsSpan(0, 16));
        var build = new KernelBuild(version, guid, 1, 0, 0x5B000000 + BitConverter.ToUInt32(Convert.FromHexString(guid)) % 0x8000000);
        return new KernelTables(build, donor.LastSymbol, types, donor.AllSymbols.ToDictionary(StringComparer.Ordinal));
    }
}
