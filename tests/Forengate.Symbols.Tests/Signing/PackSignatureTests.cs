using System.Diagnostics;
using System.Security.Cryptography;
using Forengate.Testing.Hostile;
using Forengate.Testing.Twins;

namespace Forengate.Symbols.Tests;

/// <summary>Packs signed by a site: openssl judges ours, we judge openssl's, and nothing else passes.</summary>
public sealed class PackSignatureTests : IDisposable
{
    private readonly string _folder = TwinFolders.New();
    private readonly string _pack;

    public PackSignatureTests()
    {
        _pack = Path.Combine(_folder, "site.pack");
        var merge = new PackMerge();
        merge.Add(ProfileStore.Carried.Packs[0][3]);
        File.WriteAllBytes(_pack, merge.ToBytes());
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Openssl_and_we_agree()
    {
        var key = Key("site");
        File.WriteAllBytes(_pack + ".sig", PackSignature.Sign(File.ReadAllBytes(_pack), key));
        File.WriteAllText(At("site.pub"), PackSignature.PublicKeyOf(key));
        Assert.Equal(0, Openssl("dgst", "-sha256", "-verify", At("site.pub"), "-signature", _pack + ".sig", _pack));

        Assert.Equal(0, Openssl("dgst", "-sha256", "-sign", key, "-out", _pack + ".sig", _pack));
        Assert.Equal(At("site.pub"), PackTrust.Of([At("site.pub")]).Check(_pack, File.ReadAllBytes(_pack)));
        Assert.Single(ProfileSource.Open(_pack, null, PackTrust.Of([At("site.pub")])).Packs);
    }

    [Fact]
    public void Unsigned_and_wrongly_signed_packs_are_refused()
    {
        var (ours, theirs) = (Public(Key("ours")), Key("theirs"));
        var trust = PackTrust.Of([ours]);
        Assert.Contains("not signed", Refusal(trust), StringComparison.Ordinal);
        File.WriteAllBytes(_pack + ".sig", PackSignature.Sign(File.ReadAllBytes(_pack), theirs));
        Assert.Contains("not signed by", Refusal(trust), StringComparison.Ordinal);
        // In a folder of symbols, too; and either key does where both are trusted.
        Assert.Throws<PackFormatException>(() => ProfileSource.Open(_folder, null, trust).Packs.Count);
        Assert.Single(ProfileSource.Open(_folder, null, PackTrust.Of([ours, Public(theirs)])).Packs);
        Assert.Single(ProfileSource.Open(_folder).Packs);
    }

    [Fact]
    public void A_stores_trusted_folder_counts_and_does_not_fail_open()
    {
        var store = Directory.CreateDirectory(At("store")).FullName;
        Assert.False(PackTrust.Of([], store).IsRequired);
        var trusted = Directory.CreateDirectory(Path.Combine(store, "trusted")).FullName;
        Assert.Throws<PackFormatException>(() => PackTrust.Of([], store));
        File.Move(Public(Key("site")), Path.Combine(trusted, "site.pem"));
        Assert.True(PackTrust.Of([], store).IsRequired);
        File.WriteAllText(Path.Combine(trusted, "odd.pem"), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
        Assert.Contains("odd.pem", Assert.Throws<PackFormatException>(() => PackTrust.Of([], store)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_keys_are_refused_in_a_line()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        File.WriteAllText(At("p384.pem"), other.ExportPkcs8PrivateKeyPem());
        Assert.Contains("P-256", Assert.Throws<PackFormatException>(() => PackSignature.Sign([1], At("p384.pem"))).Message, StringComparison.Ordinal);
        Assert.Contains("no private key", Assert.Throws<PackFormatException>(() => PackSignature.Sign([1], Public(Key("site")))).Message, StringComparison.Ordinal);
        using var locked = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(At("locked.pem"), locked.ExportEncryptedPkcs8PrivateKeyPem("secret", new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000)));
        Assert.Contains("encrypted", Assert.Throws<PackFormatException>(() => PackSignature.Sign([1], At("locked.pem"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Spoilt_packs_and_signatures_never_pass()
    {
        var key = Key("site");
        var trust = PackTrust.Of([Public(key)]);
        var (pack, signature) = (File.ReadAllBytes(_pack), PackSignature.Sign(File.ReadAllBytes(_pack), key));
        File.WriteAllBytes(_pack + ".sig", signature);
        Bounded.Survives(pack, 41, HostileRounds.Count(200), bytes => Assert.Equal(bytes.AsSpan().SequenceEqual(pack), Passes(bytes)));
        Bounded.Survives(signature, 42, HostileRounds.Count(300), bytes =>
        {
            File.WriteAllBytes(_pack + ".sig", bytes);
            Assert.Equal(bytes.AsSpan().SequenceEqual(signature), Passes(pack));
        });

        bool Passes(byte[] bytes)
        {
            try
            {
                return trust.Check(_pack, bytes) is not null;
            }
            catch (PackFormatException)
            {
                return false;
            }
        }
    }

    private string Refusal(PackTrust trust) => Assert.Throws<PackFormatException>(() => ProfileSource.Open(_pack, null, trust)).Message;

    private string At(string name) => Path.Combine(_folder, name);

    private string Key(string name)
    {
        Assert.Equal(0, Openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", At(name + ".pem")));
        return At(name + ".pem");
    }

    private static string Public(string key)
    {
        File.WriteAllText(key + ".pub", PackSignature.PublicKeyOf(key));
        return key + ".pub";
    }

    private static int Openssl(params string[] arguments)
    {
        using var openssl = Process.Start(new ProcessStartInfo("openssl", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        openssl.StandardOutput.ReadToEnd();
        openssl.WaitForExit();
        return openssl.ExitCode;
    }
}
