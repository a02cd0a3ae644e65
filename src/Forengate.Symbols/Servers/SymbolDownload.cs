using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Forengate.Symbols;

/// <summary>Gets single files from symbol servers over HTTP: bounded in time and size, redirected only where that is safe, written beside their place and renamed when whole.</summary>
internal sealed class SymbolDownload : IDisposable
{
    private const string Agent = "Forengate (symbol client)";
    private const int BufferLength = 1 << 16;

    private readonly SymbolServerOptions _options;
    private readonly HttpClient _client;

    /// <exception cref="SymbolFormatException">The proxy is no address.</exception>
    public SymbolDownload(SymbolServerOptions options)
    {
        _options = options;
        var handler = new SocketsHttpHandler
        {
            // Followed by hand: a server must not send us from https to plain http, or to a host of this network.
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = options.ConnectTimeout,
            UseCookies = false,
            MaxResponseHeadersLength = 64,
            UseProxy = options.Proxy != "none",
            Proxy = options.Proxy is null or "none" ? null : ProxyOf(options.Proxy),
        };
        if (options.Authorities is { } authorities)
        {
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);
        }
        _client = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        _client.DefaultRequestHeaders.TryAddWithoutValidation("User-Agent", Agent);
    }

    public void Dispose() => _client.Dispose();

    /// <summary>Gets a file.</summary>
    /// <returns>Null where it was written to <paramref name="path"/>; else why the server does not have it ("404").</returns>
    /// <exception cref="IOException">The server cannot be reached, or what it sends is not to be taken.</exception>
    public string? Get(Uri address, string path, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_options.TotalTimeout);
        try
        {
            return GetAsync(address, path, deadline.Token).GetAwaiter().GetResult();
        }
        catch (HttpRequestException failure) when (failure.InnerException is AuthenticationException)
        {
            throw new IOException($"{Shown(address)}: not asked, since its certificate is not trusted on this host (a site's own authority: add it to the system's, or name its file in SSL_CERT_FILE): {failure.InnerException.Message.Split('\n')[0]}", failure);
        }
        catch (HttpRequestException failure)
        {
            throw new IOException($"{Shown(address)}: {(failure.InnerException ?? failure).Message.Split('\n')[0]} (is the host reachable from here, or does it need --proxy?)", failure);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"{Shown(address)}: not done within {_options.TotalTimeout.TotalSeconds:0} s, or nothing came for {_options.StallTimeout.TotalSeconds:0} s: given up");
        }
    }

    private async Task<string?> GetAsync(Uri address, string path, CancellationToken cancellation)
    {
        var at = address;
        for (var redirects = 0; ; redirects++)
        {
            using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            stall.CancelAfter(_options.StallTimeout);
            using var request = new HttpRequestMessage(HttpMethod.Get, at);
            using var answer = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stall.Token).ConfigureAwait(false);
            if ((int)answer.StatusCode is 301 or 302 or 303 or 307 or 308)
            {
                at = Follow(at, answer.Headers.Location, redirects);
                continue;
            }
            if (answer.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone)
                return ((int)answer.StatusCode).ToString(System.Globalization.CultureInfo.InvariantCulture);
            if (answer.StatusCode != HttpStatusCode.OK)
                throw new IOException($"{Shown(at)}: the server answers {(int)answer.StatusCode} {answer.ReasonPhrase}");
            if (answer.Content.Headers.ContentLength > _options.MaxFileBytes)
                throw new IOException($"{Shown(at)}: {answer.Content.Headers.ContentLength} bytes are more than any symbol file has");
            await Save(answer.Content, at, path, stall).ConfigureAwait(false);
            return null;
        }
    }

    private async Task Save(HttpContent content, Uri at, string path, CancellationTokenSource stall)
    {
        var beside = WholeFile.Beside(path);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(beside)!);
            var file = new FileStream(beside, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
            await using (file.ConfigureAwait(false))
            {
                var stream = await content.ReadAsStreamAsync(stall.Token).ConfigureAwait(false);
                var (buffer, total) = (new byte[BufferLength], 0L);
                while (await stream.ReadAsync(buffer, stall.Token).ConfigureAwait(false) is var got and > 0)
                {
                    stall.CancelAfter(_options.StallTimeout);
                    if ((total += got) > _options.MaxFileBytes)
                        throw new IOException($"{Shown(at)}: it sends more than any symbol file has ({_options.MaxFileBytes} bytes); given up");
                    await file.WriteAsync(buffer.AsMemory(0, got), stall.Token).ConfigureAwait(false);
                }
                if (content.Headers.ContentLength is { } said && said != total)
                    throw new IOException($"{Shown(at)}: the answer ends after {total} of {said} bytes; try again");
            }
            File.Move(beside, path, overwrite: true);
        }
        finally
        {
            File.Delete(beside);
        }
    }

    /// <summary>Microsoft's server sends to its storage at another host: from https to https that is as good as the server's own word. Otherwise only the same host is.</summary>
    private Uri Follow(Uri from, Uri? location, int redirects)
    {
        if (location is null || redirects >= _options.MaxRedirects)
            throw new IOException($"{Shown(from)}: {(location is null ? "it redirects to nowhere" : $"more than {_options.MaxRedirects} redirects")}; given up");
        var to = new Uri(from, location);
        var isSafe = to.Scheme == Uri.UriSchemeHttps ? from.Scheme == Uri.UriSchemeHttps || to.Host == from.Host
            : to.Scheme == Uri.UriSchemeHttp && from.Scheme == Uri.UriSchemeHttp && to.Host == from.Host && to.Port == from.Port;
        return isSafe ? to : throw new IOException($"{Shown(from)}: it redirects to {Shown(to)}, which is not followed (only https to https, or within one host)");
    }

    /// <summary>Without a password or a storage's signature.</summary>
    private static string Shown(Uri address) => address.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped);

    private static WebProxy ProxyOf(string proxy) => Uri.TryCreate(proxy.Contains("://", StringComparison.Ordinal) ? proxy : $"http://{proxy}", UriKind.Absolute, out var address)
        && address.Scheme is "http" or "https" or "socks5"
        ? new WebProxy(address)
        : throw new SymbolFormatException($"'{proxy}' is no proxy: say http://HOST:PORT, or none");
}
