using System.Security.Cryptography;
using Forengate.Symbols;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>What a profile pack is, after all of it was checked.</summary>
public static class PackVerdict
{
    /// <summary>Checks a pack: its digest, that every table, size and place lies within its bounds, and its signature where keys are given.</summary>
    /// <exception cref="IOException">It is no pack, damaged, or not signed by one of the keys: the message is what to tell.</exception>
    public static IReadOnlyList<Fact> Of(string path, TargetOptions options)
    {
        var trust = PackTrust.Of(options.TrustedKeys, options.StoreFolder);
        var pack = ProfileSource.Open(path, null, trust).Packs[0];
        var bytes = WholeFile.Read(path, ProfileSource.MaxPackLength);
        var isSigned = File.Exists(path + PackSignature.Ending);
        return
        [
            new Fact("pack", path, $"{bytes.Length} bytes"),
            new Fact("kernels", pack.Count.ToString(System.Globalization.CultureInfo.InvariantCulture), Range(pack)),
            new Fact("content", "sound", "its digest fits; every table, structure and field lies within its bounds; kernels are in order"),
            new Fact("SHA-256", Convert.ToHexStringLower(SHA256.HashData(bytes)), "of the whole file"),
            trust.Check(path, bytes) is { } key ? new Fact("signature", "good", $"made with the key of {key}")
                : new Fact("signature", isSigned ? "not judged" : "none", isSigned ? "no key was given: name the maker's public key with --key" : $"there is no {path}{PackSignature.Ending}"),
        ];
    }

    /// <summary>True for a file that begins as a profile pack does.</summary>
    public static bool IsPack(string path) => File.Exists(path) && ProfileSource.IsPack(path);

    private static string Range(ProfilePack pack)
    {
        var versions = Enumerable.Range(0, pack.Count).Select(index => pack[index].Version).Order().ToList();
        return versions.Count == 0 ? "it is empty" : $"{versions[0]} to {versions[^1]}";
    }
}
