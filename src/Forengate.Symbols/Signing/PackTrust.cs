using System.Security.Cryptography;

namespace Forengate.Symbols;

/// <summary>
/// The keys whose packs a site takes. Where there are any, a pack that comes from outside (named by a user, lying in a folder of symbols, added to a store) counts only with a signature of one of them.
/// The pack inside the program and the store's own files are not asked for one: who can change those can change the program.
/// </summary>
public sealed class PackTrust
{
    /// <summary>More keys are no site's.</summary>
    private const int MaxKeys = 64;

    private readonly (string Path, byte[] PublicKey)[] _keys;

    private PackTrust((string Path, byte[] PublicKey)[] keys) => _keys = keys;

    /// <summary>No key: every sound pack is taken.</summary>
    public static PackTrust Anyone { get; } = new([]);

    /// <summary>Signatures are asked for.</summary>
    public bool IsRequired => _keys.Length != 0;

    /// <summary>Takes the keys of PEM files, and of the <c>trusted</c> folder of a store.</summary>
    /// <param name="keyFiles">Files with a public key each.</param>
    /// <param name="storeFolder">The store; null for none.</param>
    /// <exception cref="PackFormatException">A file holds no key: then nothing is trusted rather than everything.</exception>
    /// <exception cref="IOException">One cannot be read.</exception>
    public static PackTrust Of(IEnumerable<string> keyFiles, string? storeFolder = null)
    {
        var folder = storeFolder is null ? null : Path.Combine(storeFolder, LocalStore.TrustedFolder);
        var files = keyFiles.Concat(Directory.Exists(folder) ? Directory.EnumerateFiles(folder, "*.pem").Order(StringComparer.Ordinal) : []).ToList();
        if (files.Count > MaxKeys)
            throw new PackFormatException($"{files.Count} trusted keys are given, {MaxKeys} at most are taken");
        // A trusted folder without a key in it was meant to ask for signatures.
        if (files.Count == 0 && Directory.Exists(folder))
            throw new PackFormatException($"{folder} has no key (*.pem) in it: put a public key there, or remove the folder to take unsigned packs");
        return files.Count == 0 ? Anyone : new PackTrust([.. files.Select(file => (file, PublicKey(file)))]);
    }

    /// <summary>Checks the signature that lies beside a pack.</summary>
    /// <param name="path">The pack's file.</param>
    /// <param name="pack">Its bytes, as they were read.</param>
    /// <returns>The file of the key that signed it; null where none is asked for.</returns>
    /// <exception cref="PackFormatException">It is not signed, or by none of the keys.</exception>
    public string? Check(string path, ReadOnlySpan<byte> pack)
    {
        if (!IsRequired)
            return null;
        var signatureFile = path + PackSignature.Ending;
        if (!File.Exists(signatureFile))
            throw new PackFormatException($"{path} is not signed (there is no {signatureFile}), and only packs signed by {Keys} are taken");
        var signature = WholeFile.Read(signatureFile, PackSignature.MaxLength);
        foreach (var (file, publicKey) in _keys)
        {
            using var key = ECDsa.Create();
            key.ImportSubjectPublicKeyInfo(publicKey, out _);
            if (IsSigned(key, pack, signature))
                return file;
        }
        throw new PackFormatException($"{path} is not signed by {Keys}: its signature does not fit; do not use it, get it anew from who made it");
    }

    private string Keys => _keys is [var (only, _)] ? only : $"one of the {_keys.Length} trusted keys";

    private static bool IsSigned(ECDsa key, ReadOnlySpan<byte> pack, byte[] signature)
    {
        try
        {
            return key.VerifyData(pack, signature, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
        }
        catch (CryptographicException)
        {
            // Bytes that are no signature at all.
            return false;
        }
    }

    private static byte[] PublicKey(string path)
    {
        using var key = PackSignature.Import(path);
        return key.ExportSubjectPublicKeyInfo();
    }
}
