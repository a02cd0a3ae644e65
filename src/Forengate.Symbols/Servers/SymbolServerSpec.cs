namespace Forengate.Symbols;

/// <summary>One place of a symbol path: folders that keep what was fetched, nearest first, and where it comes from.</summary>
/// <param name="Caches">Folders in the layout of symbol stores, written to.</param>
/// <param name="Server">An http or https address, ending in a slash; null for none.</param>
/// <param name="Folder">A symbol store in a folder, only read; null for none.</param>
public sealed record SymbolServerSpec(IReadOnlyList<string> Caches, Uri? Server, string? Folder)
{
    /// <summary>Places of one path; more are a mistake.</summary>
    private const int MaxParts = 32;

    /// <summary>
    /// Reads a path as Microsoft's debuggers take it in <c>_NT_SYMBOL_PATH</c>: <c>srv*CACHE*URL</c>, <c>srv*URL</c>, <c>symsrv*symsrv.dll*CACHE*URL</c>, <c>cache*FOLDER</c>, an address, a folder; several
    /// with semicolons between them.
    /// </summary>
    /// <exception cref="SymbolFormatException">It is none of those.</exception>
    public static IReadOnlyList<SymbolServerSpec> Parse(string path)
    {
        var (specs, caches) = (new List<SymbolServerSpec>(), new List<string>());
        foreach (var entry in path.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var parts = entry.Split('*', StringSplitOptions.TrimEntries);
            if (parts.Length > MaxParts || specs.Count >= MaxParts)
                throw new SymbolFormatException($"'{entry}' has more than {MaxParts} places");
            if (parts[0].Equals("cache", StringComparison.OrdinalIgnoreCase) && parts is [_, { Length: > 0 } folder])
            {
                // It keeps what all places to its right give.
                caches.Add(FolderOf(folder, entry));
                continue;
            }
            IEnumerable<string> places = parts[0].ToUpperInvariant() switch
            {
                "SRV" => parts[1..],
                "SYMSRV" when parts.Length > 1 => parts[2..],
                _ when parts.Length == 1 => parts,
                _ => throw new SymbolFormatException($"'{entry}' is no symbol server: say srv*FOLDER*https://SERVER/PATH, cache*FOLDER, an address or a folder"),
            };
            // "srv**URL": the default folder of Windows' debuggers, for which we have the local store.
            specs.Add(Of([.. places.Where(static place => place.Length > 0)], caches, entry));
        }
        if (specs.Count == 0 && caches.Count > 0)
            specs.Add(new SymbolServerSpec([.. caches], null, null));
        return specs.Count > 0 ? specs : throw new SymbolFormatException($"'{path}' names no symbol server");
    }

    /// <summary>Where it comes from, for people.</summary>
    public override string ToString() => Server?.GetLeftPart(UriPartial.Path) ?? Folder ?? string.Join(", ", Caches);

    private static SymbolServerSpec Of(string[] places, List<string> caches, string entry)
    {
        if (places.Length == 0)
            throw new SymbolFormatException($"'{entry}' names no place: say srv*FOLDER*https://SERVER/PATH");
        var last = places[^1];
        string[] folders = [.. caches, .. places[..^1].Select(place => FolderOf(place, entry))];
        if (!last.Contains("://", StringComparison.Ordinal))
            return new SymbolServerSpec(folders, null, FolderOf(last, entry));
        if (!Uri.TryCreate(last.EndsWith('/') ? last : last + "/", UriKind.Absolute, out var server) || server.Scheme is not ("http" or "https") || server.Query.Length + server.Fragment.Length > 0)
            throw new SymbolFormatException($"'{last}' is no address of a symbol server: it begins with https:// or http:// and has no question mark");
        return new SymbolServerSpec(folders, server, null);
    }

    private static string FolderOf(string place, string entry) => place switch
    {
        _ when place.Contains("://", StringComparison.Ordinal) => throw new SymbolFormatException($"in '{entry}' an address stands where only a folder can: the address comes last"),
        _ when place.StartsWith(@"\\", StringComparison.Ordinal) => throw new SymbolFormatException($"'{place}' is a Windows share: mount it and name the folder where it is mounted"),
        _ => Path.GetFullPath(place),
    };
}
