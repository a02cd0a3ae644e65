using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Forengate.Testing.Hostile;
using Forengate.Testing.Twins;

namespace Forengate.Symbols.Tests;

/// <summary>Symbol servers as they are, and as they should not be: what comes is used only when it is whole and the right one, and nothing hangs.</summary>
public sealed class SymbolServersTests : IDisposable
{
    private const string Name = "ntkrnlmp.pdb";
    private static readonly byte[] Pdb = SymbolCorpus.Load("pdb/clang-x64.pdb");
    private static readonly CodeViewRecord Wanted = PdbFile.Open(Name, Pdb).CodeView;

    private readonly string _folder = TwinFolders.New();

    private static string Place => $"/symbols/{Name}/{Wanted.Key}/{Name}";

    private static LoopbackServer.Answer Good => new("200 OK", Pdb);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_pdb_is_fetched_checked_cached_and_kept()
    {
        using var server = new LoopbackServer(path => path == Place ? Good : LoopbackServer.NotFound);
        var store = new LocalStore(At("store"));
        var (cache, second) = (At("cache"), At("second"));
        using var servers = Servers($"srv*{cache}*{second}*{server.Address}", store);
        var profile = servers.Find(Wanted, out var from)!;
        Assert.Equal((Wanted.Key, $"symbol server {server.Address}/", server.Address + "/"), (profile.CodeView.Key, profile.Origin, from));
        Assert.Equal(Pdb, File.ReadAllBytes(Path.Combine(cache, Name, Wanted.Key, Name)));
        Assert.Equal(Pdb, File.ReadAllBytes(Path.Combine(second, Name, Wanted.Key, Name)));
        Assert.NotNull(store.Find(Wanted, out _));
        Assert.Equal([Place], server.Asked);
        // No work is left lying about, and the cache serves from now on.
        Assert.Equal([Name], Directory.GetFileSystemEntries(cache).Select(Path.GetFileName));
        using var again = Servers($"cache*{cache};{server.Address}", null);
        Assert.NotNull(again.Find(Wanted, out from));
        Assert.Equal(cache, from);
        Assert.Single(server.Asked);
    }

    [Fact]
    public void What_no_place_has_is_said_and_asked_for_once()
    {
        using var server = new LoopbackServer(_ => LoopbackServer.NotFound);
        using var servers = Servers($"srv*{server.Address};{_folder}", null);
        Assert.Null(servers.Find(Wanted, out var tried));
        Assert.Equal($"{server.Address}/ (it has no {Name}/{Wanted.Key}), {_folder} (no {Name}/{Wanted.Key})", tried);
        Assert.Equal([Place, Place[..^1] + "_", $"/symbols/{Name}/{Wanted.Key}/file.ptr", "/symbols/index2.txt"], server.Asked);
        Assert.Null(servers.Find(Wanted, out _));
        Assert.Equal(4, server.Asked.Count);
    }

    [Fact]
    public void Compressed_files_are_unpacked()
    {
        var cabinet = Cabinet();
        using var server = new LoopbackServer(path => path == Place[..^1] + "_" ? new("200 OK", cabinet) : LoopbackServer.NotFound);
        using var servers = Servers($"srv*{At("cache")}*{server.Address}", null);
        Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
        Assert.Equal(cabinet, File.ReadAllBytes(Path.Combine(At("cache"), Name, Wanted.Key, "ntkrnlmp.pd_")));
        using var cached = Servers(At("cache"), null);
        Assert.NotNull(cached.Find(Wanted, out _));
    }

    [Fact]
    public void Files_compressed_by_LZX_are_unpacked()
    {
        // As large as a kernel's PDB in parts, and as odd as one.
        var content = new byte[200_000];
        new Random(5).NextBytes(content);
        for (var i = 0; i < 1500; i++)
            Pdb.AsSpan((i * 37) % (Pdb.Length - 100), 100).CopyTo(content.AsSpan(i * 131));
        foreach (var file in new[] { Pdb, content, content[..(1 << 15)], content[..7] })
        {
            File.WriteAllBytes(At("lzx.cab"), LzxCabinet.Of(Name, file));
            CabinetFile.Unpack(At("lzx.cab"), At("plain"), 1 << 24);
            Assert.Equal(file, File.ReadAllBytes(At("plain")));
        }
        var cabinet = LzxCabinet.Of(Name, Pdb);
        using var server = new LoopbackServer(path => path == Place[..^1] + "_" ? new("200 OK", cabinet) : LoopbackServer.NotFound);
        using var servers = Servers(server.Address, null);
        Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
    }

    /// <summary>The same cabinet to a reader that is not ours.</summary>
    [Fact]
    public void Cabextract_unpacks_them_too()
    {
        const string tool = "/usr/bin/cabextract";
        Assert.SkipUnless(File.Exists(tool), "needs cabextract (eng/setup symbols)");
        File.WriteAllBytes(At("lzx.cab"), LzxCabinet.Of(Name, Pdb));
        using var cabextract = Process.Start(new ProcessStartInfo(tool, ["-q", "-d", At("out"), At("lzx.cab")]))!;
        cabextract.WaitForExit();
        Assert.Equal(0, cabextract.ExitCode);
        Assert.Equal(Pdb, File.ReadAllBytes(Path.Combine(At("out"), Name)));
    }

    [Fact]
    public void Two_tiers_and_pointers_are_followed()
    {
        using var tiers = new LoopbackServer(path => path == "/symbols/index2.txt" ? new("200 OK", []) : path == Place.Replace("/symbols/", "/symbols/nt/", StringComparison.Ordinal) ? Good : LoopbackServer.NotFound);
        using (var servers = Servers(tiers.Address, null))
            Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
        LoopbackServer? self = null;
        using var pointing = self = new LoopbackServer(path => path.EndsWith("file.ptr", StringComparison.Ordinal) ? new("200 OK", Encoding.ASCII.GetBytes($"PATH:{self!.Address}/elsewhere.pdb"))
            : path == "/symbols/elsewhere.pdb" ? Good : LoopbackServer.NotFound);
        using (var servers = Servers(pointing.Address, null))
            Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
        foreach (var pointer in new[] { "PATH:/etc/passwd", @"PATH:\\server\share\x.pdb", "MSG: not for you", "PATH:http://127.0.0.2/x.pdb", "file:///etc/passwd" })
        {
            using var bad = new LoopbackServer(path => path.EndsWith("file.ptr", StringComparison.Ordinal) ? new("200 OK", Encoding.ASCII.GetBytes(pointer)) : LoopbackServer.NotFound);
            using var servers = Servers(bad.Address, null);
            Assert.Null(servers.Find(Wanted, out var tried));
            Assert.True(tried.Contains("not followed", StringComparison.Ordinal) || tried.Contains("not for you", StringComparison.Ordinal), tried);
        }
    }

    [Fact]
    public void A_folder_serves_in_both_layouts_and_by_pointer()
    {
        var elsewhere = At("elsewhere.pdb");
        File.WriteAllBytes(elsewhere, Pdb);
        foreach (var (index, relative) in new[] { $"{Name}/{Wanted.Key}/{Name}", $"nt/{Name}/{Wanted.Key}/{Name}", $"{Name}/{Wanted.Key}/file.ptr" }.Index())
        {
            var store = At($"folder{index}");
            var path = Path.Combine(store, relative);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            if (index == 2)
                File.WriteAllText(path, $"PATH:{elsewhere}");
            else
                File.Copy(elsewhere, path);
            if (index == 1)
                File.WriteAllText(Path.Combine(store, "index2.txt"), "");
            using var servers = Servers(store, null);
            Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
        }
    }

    [Theory]
    [InlineData("wrong", "PDB of another image")]
    [InlineData("truncated", "ends after", "prematurely")]
    [InlineData("cut", "", "")]
    [InlineData("none", "no PDB", "PDB")]
    [InlineData("error", "500")]
    [InlineData("slow", "given up")]
    [InlineData("drip", "given up")]
    [InlineData("endless", "given up")]
    [InlineData("huge", "more than any symbol file")]
    [InlineData("loop", "redirects")]
    [InlineData("away", "not followed")]
    [InlineData("down", "not followed")]
    public void What_should_not_be_taken_is_not(string kind, string reason, string? or = null)
    {
        var wrong = Wanted with { Age = Wanted.Age + 1 };
        using var server = new LoopbackServer(path => !path.EndsWith(Name, StringComparison.Ordinal) ? LoopbackServer.NotFound : kind switch
        {
            "wrong" => Good,
            "truncated" => Good with { Length = Pdb.Length + 1000 },
            "cut" => new("200 OK", Pdb[..(Pdb.Length / 2)]),
            "none" => new("200 OK", Encoding.ASCII.GetBytes("<html>Please log in</html>")),
            "error" => new("500 Oops", []),
            "slow" => new("200 OK", [], Length: 100, Stall: TimeSpan.FromSeconds(20)),
            "drip" => new("200 OK", new byte[1], Length: -1, Stall: TimeSpan.FromSeconds(20)),
            "endless" => new("200 OK", new byte[1 << 16], Length: -1, IsEndless: true),
            "huge" => new("200 OK", [], Length: 1L << 40),
            "loop" => new("302 Found", [], $"Location: {path}\r\n"),
            "away" => new("302 Found", [], "Location: http://127.0.0.2/x\r\n"),
            _ => new("302 Found", [], "Location: ftp://127.0.0.1/x\r\n"),
        });
        var store = new LocalStore(At("store"));
        using var servers = Servers($"srv*{At("cache")}*{server.Address}", store);
        var clock = Stopwatch.StartNew();
        Assert.Null(servers.Find(kind == "wrong" ? wrong : Wanted, out var tried));
        Assert.True(tried.Contains(reason, StringComparison.Ordinal) || (or is not null && tried.Contains(or, StringComparison.Ordinal)), tried);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(15), $"{clock.Elapsed}");
        Assert.Empty(Directory.GetFileSystemEntries(At("cache")));
        Assert.False(Directory.Exists(store.Folder));
    }

    [Fact]
    public void A_redirect_within_the_host_is_followed_and_a_download_can_be_stopped()
    {
        using var moved = new LoopbackServer(path => path == Place ? new("301 Moved", [], "Location: /blob?sig=1\r\n") : path.StartsWith("/blob", StringComparison.Ordinal) ? Good : LoopbackServer.NotFound);
        using (var servers = Servers(moved.Address, null))
            Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
        using var slow = new LoopbackServer(_ => new("200 OK", [], Length: 100, Stall: TimeSpan.FromSeconds(20)));
        using var stop = new CancellationTokenSource(200);
        using var stopped = new SymbolServers([slow.Address], Options, null, stop.Token);
        Assert.ThrowsAny<OperationCanceledException>(() => stopped.Find(Wanted, out _));
    }

    [Fact]
    public void A_server_whose_certificate_nobody_vouches_for_is_not_asked()
    {
        using var certificate = SelfSigned();
        using var server = new LoopbackServer(_ => Good, certificate);
        using var servers = Servers($"srv*{At("cache")}*{server.Address}", null);
        Assert.Null(servers.Find(Wanted, out var tried));
        Assert.Contains("its certificate is not trusted on this host", tried, StringComparison.Ordinal);
        Assert.Contains("SSL_CERT_FILE", tried, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', tried);
        Assert.All(server.Asked, Assert.Empty);
        Assert.Empty(Directory.GetFileSystemEntries(At("cache")));
    }

    /// <summary>From https only to https, wherever; from http to https of the same host, and never to plain http of another.</summary>
    [Theory]
    [InlineData(true, true, "127.0.0.1", true)]
    [InlineData(true, true, "127.0.0.2", true)]
    [InlineData(true, false, "127.0.0.1", false)]
    [InlineData(true, false, "127.0.0.2", false)]
    [InlineData(false, true, "127.0.0.1", true)]
    [InlineData(false, true, "127.0.0.2", false)]
    [InlineData(false, false, "127.0.0.2", false)]
    public void Redirects_between_http_and_https_follow_the_rule(bool fromHttps, bool toHttps, string host, bool isFollowed)
    {
        using var certificate = SelfSigned();
        using var target = new LoopbackServer(_ => Good, toHttps ? certificate : null, IPAddress.Parse(host));
        using var server = new LoopbackServer(path => path == Place ? new("302 Found", [], $"Location: {target.Address}/there\r\n") : LoopbackServer.NotFound, fromHttps ? certificate : null);
        using var servers = new SymbolServers([server.Address], Options with { Authorities = [certificate] }, null, TestContext.Current.CancellationToken);
        var found = servers.Find(Wanted, out var tried);
        Assert.True(isFollowed == found is not null, tried);
        Assert.Equal(isFollowed ? 1 : 0, target.Asked.Count);
        if (!isFollowed)
            Assert.Contains($"it redirects to {target.Address}/there, which is not followed", tried, StringComparison.Ordinal);
    }

    [Fact]
    public void A_proxy_is_asked_where_one_is_named()
    {
        using var proxy = new LoopbackServer(path => path == $"http://symbols.invalid{Place}" ? Good : LoopbackServer.NotFound);
        using var servers = new SymbolServers(["http://symbols.invalid/symbols"], Options with { Proxy = new Uri(proxy.Address).GetLeftPart(UriPartial.Authority) }, null, default);
        Assert.True(servers.Find(Wanted, out var tried) is not null, tried);
    }

    [Theory]
    [InlineData("../up")]
    [InlineData("..")]
    [InlineData("a/b.pdb")]
    [InlineData(".hidden")]
    public void A_name_from_guest_memory_is_no_path(string name)
    {
        using var server = new LoopbackServer(_ => Good);
        using var servers = Servers(server.Address, null);
        Assert.Null(servers.Find(Wanted with { Name = name }, out _));
        Assert.Empty(server.Asked);
    }

    [Fact]
    public void Spoilt_cabinets_are_survived()
    {
        Survive(Cabinet(), 51, 150);
        Survive(LzxCabinet.Of(Name, Pdb), 52, 300);
    }

    private void Survive(byte[] cabinet, ulong seed, int rounds)
    {
        var path = At("nam.pd_");
        Bounded.Survives(cabinet, seed, HostileRounds.Count(rounds), bytes =>
        {
            File.WriteAllBytes(path, bytes);
            File.Delete(At("out"));
            try
            {
                CabinetFile.Unpack(path, At("out"), 1 << 24);
                Assert.True(new FileInfo(At("out")).Length <= 1 << 24);
            }
            catch (SymbolFormatException)
            {
                Assert.False(File.Exists(At("out")));
            }
        });
    }

    /// <summary>For both addresses of this host.</summary>
    private static X509Certificate2 SelfSigned()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=forengate test", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.Parse("127.0.0.2"));
        request.CertificateExtensions.Add(names.Build());
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private static SymbolServerOptions Options => new()
    {
        ConnectTimeout = TimeSpan.FromSeconds(5), StallTimeout = TimeSpan.FromSeconds(1), TotalTimeout = TimeSpan.FromSeconds(8), MaxFileBytes = 16 << 20, Proxy = "none",
    };

    private static SymbolServers Servers(string path, LocalStore? store) => new([path], Options, store, TestContext.Current.CancellationToken);

    private string At(string name) => Path.Combine(_folder, name);

    /// <summary>By gcab: MSZIP, as Microsoft's makecab writes by default.</summary>
    private byte[] Cabinet()
    {
        const string tool = "/usr/bin/gcab";
        Assert.SkipUnless(File.Exists(tool), "needs gcab (eng/setup symbols)");
        File.WriteAllBytes(At(Name), Pdb);
        using var gcab = Process.Start(new ProcessStartInfo(tool, ["-c", "-z", At("packed.cab"), Name]) { WorkingDirectory = _folder })!;
        gcab.WaitForExit();
        Assert.Equal(0, gcab.ExitCode);
        return File.ReadAllBytes(At("packed.cab"));
    }
}
