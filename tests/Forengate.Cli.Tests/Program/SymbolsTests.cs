using System.Diagnostics;
using Forengate.Testing;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>symbols</c> as a support engineer uses it, for a kernel that no source knows.</summary>
public sealed class SymbolsTests : IDisposable
{
    private readonly string _folder = TwinFolders.New();

    private string Store => Path.Combine(_folder, "store");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_kernel_that_was_added_is_known_from_then_on_and_can_be_handed_on()
    {
        var (image, pdb) = Twin();
        var added = Run("symbols", "add", pdb, "--build", "10.0.19041.9999", "--output", "json").Json[0];
        Assert.Equal("added", added.GetProperty("outcome").GetString());
        var key = added.GetProperty("key").GetString()!;
        Assert.Equal(Path.Combine(Store, key + ".pack"), added.GetProperty("storedAs").GetString());
        Assert.Equal("was there already", Run("symbols", "add", pdb, "--build", "10.0.19041.9999", "--output", "json").Json[0].GetProperty("outcome").GetString());

        var profile = Run("info", image, "--output", "json").Json.GetProperty("windows").GetProperty("profile");
        Assert.StartsWith("local store", profile.GetProperty("source").GetString(), StringComparison.Ordinal);
        Assert.Equal(("10.0.19041.9999", false, 0), (profile.GetProperty("version").GetString(), profile.GetProperty("deduced").GetBoolean(), profile.GetProperty("checksFailed").GetInt32()));
        var checks = Run("symbols", "verify", image, "--output", "json").Json;
        Assert.True(checks.GetArrayLength() > 20);
        Assert.DoesNotContain(checks.EnumerateArray(), check => check.GetProperty("verdict").GetString() == "failed");

        // The checker goes by the same sources as whoever wrote the dump.
        var dump = Path.Combine(_folder, "twin.dmp");
        // Raw memory has no registers: done, but incomplete.
        Assert.Equal(3, ForengateProgram.Run("dump", image, dump, "--store", Store).ExitCode);
        Run("check", dump);
        Assert.Contains("nothing-here.pdb", ForengateProgram.Run("check", dump, "--symbols", Path.Combine(_folder, "nothing-here.pdb")).Reason, StringComparison.Ordinal);

        // To another host: signed, refused where it is not.
        var (secret, open) = (Path.Combine(_folder, "key.pem"), Path.Combine(_folder, "pub.pem"));
        Openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", secret);
        Openssl("ec", "-in", secret, "-pubout", "-out", open);
        var pack = Path.Combine(_folder, "site.pack");
        Assert.Contains("1 kernels", Run("symbols", "pack", pack, "--sign", secret).Output, StringComparison.Ordinal);
        var bytes = File.ReadAllBytes(pack);
        Run("symbols", "pack", pack, "--sign", secret);
        Assert.Equal(bytes, File.ReadAllBytes(pack));
        Assert.Contains("good", Run("symbols", "verify", pack, "--key", open).Output, StringComparison.Ordinal);
        Assert.Equal(pack, ForengateProgram.Run("info", image, "--symbols", pack, "--trust", open, "--output", "json").Done().Json.GetProperty("windows").GetProperty("profile").GetProperty("source").GetString());
        File.Delete(pack + ".sig");
        var refused = ForengateProgram.Run("info", image, "--symbols", pack, "--trust", open);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("not signed", refused.Reason, StringComparison.Ordinal);
        Assert.Equal(1, ForengateProgram.Run("symbols", "verify", pack, "--key", open).ExitCode);
        Assert.Equal(1, ForengateProgram.Run("symbols", "pack", pack, "--carried", "--max-size", "10").ExitCode);

        // A spoilt file of the store is said and not used.
        File.WriteAllText(Path.Combine(Store, key + ".pack"), "spoilt");
        var without = ForengateProgram.Run("info", image, "--store", Store, "--output", "json");
        Assert.Contains("not used", without.Errors, StringComparison.Ordinal);
        Assert.True(without.Json.GetProperty("windows").GetProperty("profile").GetProperty("deduced").GetBoolean());
        Assert.Equal(3, ForengateProgram.Run("symbols", "verify", "--store", Store).ExitCode);
    }

    [Fact]
    public void Symbols_come_from_a_server_that_is_allowed()
    {
        var (image, pdb) = Twin();
        var key = ForengateProgram.Run("symbols", "add", pdb, "--store", Path.Combine(_folder, "other"), "--output", "json").Done().Json[0].GetProperty("key").GetString()!;
        var place = Path.Combine(_folder, "server", "ntkrnlmp.pdb", key, "ntkrnlmp.pdb");
        Directory.CreateDirectory(Path.GetDirectoryName(place)!);
        File.Copy(pdb, place);
        var server = Path.Combine(_folder, "server");
        Assert.Equal(1, ForengateProgram.Run("symbols", "fetch", image, "--store", Store).ExitCode);
        foreach (var what in new[] { image, key })
            Assert.Equal(key, Run("symbols", "fetch", what, "--symbol-server", server, "--output", "json").Json[0].GetProperty("key").GetString());
        Assert.Equal([key + ".pack"], Directory.GetFiles(Store).Select(Path.GetFileName));
        Directory.Delete(Store, recursive: true);
        var profile = Run("info", image, "--symbol-server", $"srv*{server}", "--output", "json").Json.GetProperty("windows").GetProperty("profile");
        Assert.Equal((place, false), (profile.GetProperty("source").GetString(), profile.GetProperty("deduced").GetBoolean()));
        Assert.StartsWith("local store", Run("info", image, "--output", "json").Json.GetProperty("windows").GetProperty("profile").GetProperty("source").GetString(), StringComparison.Ordinal);
        Assert.Contains("nobody has", ForengateProgram.Run("symbols", "fetch", key + "1", "--symbol-server", server, "--store", Store).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Structures_and_differences_are_shown()
    {
        var sheet = Run("symbols", "show", "EPROCESS", "--build", "10.0.19041.329", "--output", "json").Json;
        Assert.Equal("_EPROCESS", sheet.GetProperty("type").GetString());
        Assert.Contains(sheet.GetProperty("fields").EnumerateArray(), field => field.GetProperty("field").GetString() == "UniqueProcessId" && field.GetProperty("offset").GetString() == "0x440");
        var differences = Run("symbols", "show", "_EPROCESS", "--build", "17763", "--against", "10.0.19041.329", "--output", "json").Json.GetProperty("differences");
        Assert.Contains(differences.EnumerateArray(), one => one.GetProperty("field").GetString() == "UniqueProcessId" && one.GetProperty("change").GetString() == "moved by +0x160");
        Assert.Equal(1, ForengateProgram.Run("symbols", "show", "_NOTHING").ExitCode);
        Assert.Equal(1, ForengateProgram.Run("symbols", "show", "_EPROCESS", "--build", "4711").ExitCode);
        Assert.Equal(213, Run("symbols", "list", "--output", "json").Json.EnumerateArray().Count(kernel => kernel.GetProperty("version").ValueKind != System.Text.Json.JsonValueKind.Null));
    }

    [Fact]
    public void What_is_known_by_version_only_is_listed_and_packed()
    {
        var layouts = Run("symbols", "list", "--layouts", "--output", "json").Json.EnumerateArray().ToList();
        Assert.Contains(layouts, layout => layout.GetProperty("version").GetString() == "10.0.22631.2428" && layout.GetProperty("architecture").GetString() == "x64");
        // All that is carried, taken apart and put together: the same pack.
        var pack = Path.Combine(_folder, "all.pack");
        Run("symbols", "pack", pack, "--carried");
        Assert.Equal(File.ReadAllBytes(Checkout.PathOf("src/Forengate.Symbols/Packs/carried.pack")), File.ReadAllBytes(pack));
    }

    private static (string Image, string Pdb) Twin()
    {
        var twin = TwinImages.Get("--build", "19041", "--shuffle", "91", "--memory", "128", "--exited", "4", "--raw");
        return (Path.Combine(twin, "memory.raw"), TwinPdbs.Get(twin));
    }

    private ProgramOutcome Run(params string[] arguments) => ForengateProgram.Run([.. arguments, "--store", Store]).Done();

    private static void Openssl(params string[] arguments)
    {
        using var openssl = Process.Start(new ProcessStartInfo("openssl", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        openssl.StandardError.ReadToEnd();
        openssl.WaitForExit();
        Assert.Equal(0, openssl.ExitCode);
    }
}
