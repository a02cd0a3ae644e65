using System.Security.Cryptography;

namespace Forengate.Symbols;

/// <summary>
/// The signature of a pack: ECDSA with P-256 over the SHA-256 of the whole pack, as DER (RFC 3279), in a file of its own beside the pack. The pack itself stays the same bytes whoever signs it, and
/// <c>openssl dgst -sha256 -verify PUB.pem -signature site.pack.sig site.pack</c> judges it without us.
/// </summary>
public static class PackSignature
{
    /// <summary>What the name of the signature's file has more than that of the pack.</summary>
    public const string Ending = ".sig";

    /// <summary>Two integers of 33 bytes and their heads: 72 bytes; openssl never writes more.</summary>
    internal const int MaxLength = 128;

    /// <summary>P-256, also called prime256v1 and secp256r1.</summary>
    private const string CurveOid = "1.2.840.10045.3.1.7";

    private const int MaxKeyFile = 1 << 14;

    /// <summary>Signs a pack with the private key of a PEM file.</summary>
    /// <exception cref="PackFormatException">The file holds no private key of this kind, or an encrypted one.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static byte[] Sign(ReadOnlySpan<byte> pack, string keyPath)
    {
        using var key = Import(keyPath);
        try
        {
            return key.SignData(pack, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
        }
        catch (CryptographicException failure)
        {
            throw new PackFormatException($"{keyPath} holds no private key to sign with: {failure.Message} (openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem makes one)", failure);
        }
    }

    /// <summary>The public half of the key in a PEM file, as a PEM text to hand to those who verify.</summary>
    public static string PublicKeyOf(string keyPath)
    {
        using var key = Import(keyPath);
        return key.ExportSubjectPublicKeyInfoPem() + "\n";
    }

    /// <exception cref="PackFormatException">It is no key of this kind.</exception>
    internal static ECDsa Import(string path)
    {
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(System.Text.Encoding.ASCII.GetString(WholeFile.Read(path, MaxKeyFile)));
            if (key.ExportParameters(includePrivateParameters: false).Curve.Oid.Value == CurveOid)
                return key;
            throw new PackFormatException($"{path} holds a key of another curve than P-256 (prime256v1)");
        }
        catch (Exception failure) when (failure is ArgumentException or CryptographicException)
        {
            key.Dispose();
            throw new PackFormatException($"{path} holds no ECDSA key in PEM form, or an encrypted one: {failure.Message.Split('\n')[0]}", failure);
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }
}
