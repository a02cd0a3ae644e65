namespace Forengate.Symbols;

/// <summary>
/// A folder of symbol files; safe for concurrent use. First the places where a symbol store and Volatility keep the file of a kernel are looked at; then every symbol file below the folder is asked whose it is.
/// </summary>
internal sealed class FolderProfileSource(string folder, SymbolLimits limits, PackTrust? trust) : ProfileSource
{
    private static readonly string[] Endings = [".pdb", ".json", ".json.xz", ".json.zst", ".pack"];

    private readonly Lock _lock = new();
    private readonly Dictionary<(Guid Guid, uint Age), string> _files = [];
    private readonly List<ProfilePack> _packs = [];
    private readonly Dictionary<string, ProfileSource> _opened = new(StringComparer.Ordinal);
    private bool _isIndexed;
    private bool _isCutShort;

    public override string Name => folder;

    /// <summary>Packs only: to open every PDB for a guess would take too long.</summary>
    public override IReadOnlyList<ProfilePack> Packs
    {
        get
        {
            lock (_lock)
            {
                Index();
                return _packs;
            }
        }
    }

    public override IEnumerable<KnownKernel> Kernels
    {
        get
        {
            foreach (var kernel in base.Kernels)
                yield return kernel;
            // Read for who they are only: a PDB's profile is made when it is asked for.
            (string Path, Guid Guid, uint Age)[] files;
            lock (_lock)
                files = [.. _files.Select(pair => (pair.Value, pair.Key.Guid, pair.Key.Age)).OrderBy(file => file.Value, StringComparer.Ordinal)];
            foreach (var (path, guid, age) in files)
                yield return new KnownKernel(new CodeViewRecord(Path.GetFileName(path), guid, age), null, folder, path, null, null);
        }
    }

    public override KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        lock (_lock)
            return Search(symbols, out tried);
    }

    private KernelProfile? Search(CodeViewRecord symbols, out string tried)
    {
        foreach (var path in UsualPlaces(symbols))
        {
            if (File.Exists(path) && Opened(path).Find(symbols, out tried) is { } usual)
                return usual;
        }
        Index();
        foreach (var pack in _packs)
        {
            if (pack.Find(symbols.Guid, symbols.Age) is { } packed)
            {
                tried = pack.Name;
                return packed;
            }
        }
        if (_files.TryGetValue((symbols.Guid, symbols.Age), out var file) && Opened(file).Find(symbols, out tried) is { } found)
            return found;
        tried = $"{folder} ({_files.Count} symbol files and {_packs.Count} packs, none of them for {symbols.Key}{(_isCutShort ? $"; only the first {limits.MaxFiles} files were looked at" : "")})";
        return null;
    }

    private IEnumerable<string> UsualPlaces(CodeViewRecord symbols)
    {
        // The name comes from guest memory: it must not lead out of the folder.
        var name = Path.GetFileName(symbols.Name);
        if (name is "" or "." or "..")
            yield break;
        yield return Path.Combine(folder, name, symbols.Key, name);
        foreach (var home in new[] { folder, Path.Combine(folder, "windows") })
        {
            var stem = Path.Combine(home, name, $"{symbols.Guid:N}-{symbols.Age:x}".ToUpperInvariant());
            yield return stem + ".json";
            yield return stem + ".json.xz";
            yield return stem + ".json.zst";
        }
    }

    private ProfileSource Opened(string path)
    {
        if (!_opened.TryGetValue(path, out var source))
            _opened.Add(path, source = Open(path, limits, trust));
        return source;
    }

    private void Index()
    {
        if (_isIndexed)
            return;
        _isIndexed = true;
        var seen = 0;
        foreach (var path in Directory.EnumerateFiles(folder, "*", new EnumerationOptions
        {
            RecurseSubdirectories = true, MaxRecursionDepth = limits.MaxFolderDepth, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.ReparsePoint,
        }))
        {
            if (!Array.Exists(Endings, ending => path.EndsWith(ending, StringComparison.OrdinalIgnoreCase)))
                continue;
            if (++seen > limits.MaxFiles)
            {
                _isCutShort = true;
                break;
            }
            if (path.EndsWith(".pack", StringComparison.OrdinalIgnoreCase))
                AddPack(path);
            else if ((PdbFile.Identify(path) ?? IsfFile.Identify(path)) is { } record)
                _files.TryAdd((record.Guid, record.Age), path);
        }
    }

    /// <summary>Of a folder, what is no pack is passed over: nobody named it. Where packs must be signed, none is passed over in silence.</summary>
    private void AddPack(string path)
    {
        try
        {
            if (SymbolFileKind.Of(path) == SymbolFileKind.Kind.Pack)
                _packs.AddRange(Open(path, limits, trust).Packs);
        }
        catch (Exception unreadable) when ((unreadable is IOException or UnauthorizedAccessException) && trust?.IsRequired != true)
        {
        }
    }
}
