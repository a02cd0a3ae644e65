using System.Text;

namespace Forengate.Symbols;

/// <summary>
/// Symbol servers and symbol stores, asked for the PDB of one kernel at a time; never listed. A PDB counts only when its GUID and age are those asked for. What was found is kept in the caches that were named, and its profile in
/// the local store. Nothing is asked unless it is made: that is the user's choice, since a request tells the server which kernel is looked at.
/// </summary>
public sealed class SymbolServers : ProfileSource, IDisposable
{
    /// <summary>A pointer holds a path or an address.</summary>
    private const int MaxPointerBytes = 4096;

    /// <summary>Says that a store keeps its files one folder deeper, by the first two letters of their names.</summary>
    private const string TwoTierMark = "index2.txt";

    private const string Pointer = "file.ptr";

    private readonly IReadOnlyList<SymbolServerSpec> _specs;
    private readonly SymbolServerOptions _options;
    private readonly LocalStore? _keep;
    private readonly SymbolDownload _download;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<string, (KernelProfile? Profile, string Tried)> _asked = new(StringComparer.Ordinal);

    /// <param name="paths">Symbol paths (<see cref="SymbolServerSpec.Parse"/>), the first asked first.</param>
    /// <param name="options">Bounds, proxy.</param>
    /// <param name="keep">Where profiles are kept; null for nowhere.</param>
    /// <param name="cancellation">Ends a download.</param>
    /// <exception cref="SymbolFormatException">A path is none.</exception>
    public SymbolServers(IEnumerable<string> paths, SymbolServerOptions options, LocalStore? keep, CancellationToken cancellation)
    {
        _specs = [.. paths.SelectMany(SymbolServerSpec.Parse)];
        (_options, _keep, _download, _cancellation) = (options, keep, new SymbolDownload(options), cancellation);
    }

    public override string Name => $"symbol servers {string.Join(", ", _specs)}";

    /// <summary>None: servers cannot be listed.</summary>
    public override IReadOnlyList<ProfilePack> Packs => [];

    /// <summary>File version of kernels fetched, where it is known: PDBs do not say it.</summary>
    public Version? Version { get; init; }

    /// <summary>What was found so far.</summary>
    public IReadOnlyList<(KernelProfile Profile, string From)> Fetched =>
        [.. _asked.Values.Where(static answer => answer.Profile is not null).Select(static answer => (answer.Profile!, answer.Tried))];

    public void Dispose() => _download.Dispose();

    /// <summary>Asks the places in order. Each kernel is asked for once.</summary>
    /// <inheritdoc/>
    public override KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        if (!_asked.TryGetValue(symbols.Key, out var answer))
            _asked.Add(symbols.Key, answer = Ask(symbols));
        tried = answer.Tried;
        return answer.Profile;
    }

    private (KernelProfile? Profile, string Tried) Ask(CodeViewRecord symbols)
    {
        // The name comes from guest memory, and becomes a part of paths and addresses.
        if (!IsFileName(symbols.Name))
            return (null, $"symbol servers (not asked: '{symbols.Name}' is no file name)");
        var tried = new List<string>();
        foreach (var spec in _specs)
        {
            foreach (var cache in spec.Caches)
            {
                if (FromFolder(cache, symbols, tried) is { } cached)
                    return (cached, cache);
            }
            var found = spec.Folder is { } folder ? FromFolder(folder, symbols, tried) : spec.Server is { } server ? FromServer(server, spec, symbols, tried) : null;
            if (found is not null)
                return (found, spec.ToString());
        }
        return (null, string.Join(", ", tried));
    }

    private KernelProfile? FromFolder(string folder, CodeViewRecord symbols, List<string> tried)
    {
        try
        {
            foreach (var place in PlacesIn(symbols, File.Exists(Path.Combine(folder, TwoTierMark))).Select(place => Path.Combine(folder, place)))
            {
                if (File.Exists(place) && Use(place, place, symbols) is { } profile)
                    return profile;
                var pointer = Path.Combine(Path.GetDirectoryName(place)!, Pointer);
                if (File.Exists(pointer) && PathIn(pointer) is { } path && File.Exists(path) && Use(path, path, symbols) is { } pointed)
                    return pointed;
            }
            tried.Add($"{folder} (no {symbols.Name}/{symbols.Key})");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            tried.Add($"{folder} ({failure.Message})");
        }
        return null;
    }

    private KernelProfile? FromServer(Uri server, SymbolServerSpec spec, CodeViewRecord symbols, List<string> tried)
    {
        var workFolder = spec.Caches.Count > 0 ? spec.Caches[0] : _options.DownloadFolder ?? Path.GetTempPath();
        var work = Path.Combine(workFolder, $".forengate-{Guid.NewGuid():N}");
        try
        {
            Directory.CreateDirectory(work);
            foreach (var isTwoTier in (ReadOnlySpan<bool>)[false, true])
            {
                // Flat is what nearly all have; only a server without the file is asked whether it is of the other kind.
                if (isTwoTier && _download.Get(new Uri(server, TwoTierMark), Path.Combine(work, TwoTierMark), _cancellation) is not null)
                    break;
                foreach (var place in PlacesIn(symbols, isTwoTier))
                {
                    var file = Path.Combine(work, Path.GetFileName(place));
                    if (_download.Get(AddressOf(server, place), file, _cancellation) is null)
                        return Take(file, server, spec, symbols);
                }
                var folder = Path.GetDirectoryName(PlacesIn(symbols, isTwoTier).First())!;
                var pointer = Path.Combine(work, Pointer);
                if (_download.Get(AddressOf(server, Path.Combine(folder, Pointer)), pointer, _cancellation) is null)
                {
                    var (file, address) = (Path.Combine(work, symbols.Name), AddressIn(pointer, server));
                    if (_download.Get(address, file, _cancellation) is null)
                        return Take(file, server, spec, symbols);
                }
            }
            tried.Add($"{spec} (it has no {symbols.Name}/{symbols.Key})");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            tried.Add($"{spec} ({failure.Message})");
        }
        finally
        {
            if (Directory.Exists(work))
                Directory.Delete(work, recursive: true);
        }
        return null;
    }

    /// <summary>Judges what came, and only then keeps it.</summary>
    private KernelProfile Take(string file, Uri server, SymbolServerSpec spec, CodeViewRecord symbols)
    {
        var profile = Use(file, $"symbol server {server.GetLeftPart(UriPartial.Path)}", symbols)!;
        foreach (var cache in spec.Caches)
        {
            var place = Path.Combine(cache, symbols.Name, symbols.Key, Path.GetFileName(file));
            Directory.CreateDirectory(Path.GetDirectoryName(place)!);
            var beside = WholeFile.Beside(place);
            try
            {
                File.Copy(file, beside);
                File.Move(beside, place, overwrite: true);
            }
            finally
            {
                File.Delete(beside);
            }
        }
        return profile;
    }

    /// <summary>Makes the profile of a file, packed or not, if it is the one that was asked for.</summary>
    private KernelProfile? Use(string file, string origin, CodeViewRecord symbols)
    {
        var plain = file;
        try
        {
            if (IsCabinet(file))
            {
                plain = Path.Combine(_options.DownloadFolder ?? Path.GetTempPath(), $".forengate-{Guid.NewGuid():N}.pdb");
                CabinetFile.Unpack(file, plain, _options.MaxFileBytes);
            }
            using var pdb = PdbFile.Open(plain);
            if (pdb.CodeView.Guid != symbols.Guid || pdb.CodeView.Age != symbols.Age)
                throw new SymbolFormatException($"{origin}: what it gives is the PDB of another image ({pdb.CodeView.Key}, not {symbols.Key}); not used");
            var profile = KernelProfile.From(pdb, origin, Version);
            _keep?.Add(profile);
            return profile;
        }
        finally
        {
            if (plain != file)
                File.Delete(plain);
        }
    }

    /// <summary>The file itself, then as a cabinet, whose name ends in an underscore.</summary>
    private static IEnumerable<string> PlacesIn(CodeViewRecord symbols, bool isTwoTier)
    {
        var folder = Path.Combine(isTwoTier ? symbols.Name[..Math.Min(2, symbols.Name.Length)] : "", symbols.Name, symbols.Key);
        yield return Path.Combine(folder, symbols.Name);
        yield return Path.Combine(folder, symbols.Name[..^1] + "_");
    }

    private static Uri AddressOf(Uri server, string place) => new(server, string.Join('/', place.Split('/').Select(Uri.EscapeDataString)));

    /// <summary>"PATH:/srv/store/file": where a store on this host keeps the file. A Windows share says nothing here.</summary>
    private static string? PathIn(string pointer)
    {
        var text = Text(pointer);
        return text.StartsWith("MSG:", StringComparison.OrdinalIgnoreCase) ? null
            : (text.StartsWith("PATH:", StringComparison.OrdinalIgnoreCase) ? text[5..] : text) is var path && Path.IsPathFullyQualified(path) ? path : null;
    }

    /// <summary>A server may point to an address, by the rules for redirects: never to a file of this host.</summary>
    private static Uri AddressIn(string pointer, Uri server)
    {
        var text = Text(pointer);
        if (text.StartsWith("MSG:", StringComparison.OrdinalIgnoreCase))
            throw new SymbolFormatException($"the server says: {text[4..].Trim()}");
        var path = text.StartsWith("PATH:", StringComparison.OrdinalIgnoreCase) ? text[5..] : text;
        return Uri.TryCreate(path, UriKind.Absolute, out var address) && address.Scheme is "http" or "https" && (address.Host == server.Host && address.Scheme == server.Scheme || address.Scheme == "https" && server.Scheme == "https")
            ? address
            : throw new SymbolFormatException($"its file.ptr points to '{path}', which is not followed from here");
    }

    private static string Text(string pointer) => Encoding.UTF8.GetString(WholeFile.Read(pointer, MaxPointerBytes)).Trim().Trim('\0', '\uFEFF');

    private static bool IsCabinet(string file)
    {
        using var handle = File.OpenHandle(file);
        Span<byte> head = stackalloc byte[8];
        return RandomAccess.Read(handle, head, 0) == head.Length && head.StartsWith(CabinetFile.Magic);
    }

    private static bool IsFileName(string name) =>
        name.Length is > 1 and <= CodeViewRecord.MaxNameLength && name is not ".." && !name.StartsWith('.') && name.AsSpan().IndexOfAny(['/', '\\', ':', '\0']) < 0;
}
