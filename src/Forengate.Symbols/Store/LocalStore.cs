namespace Forengate.Symbols;

/// <summary>
/// A folder of profiles that this host was given or has fetched: one small pack a kernel, named by GUID and age, so that a look-up opens one file and reads no other. Nothing in it is believed before it is
/// checked: a file that is no sound pack of the kernel its name says is refused, and <see cref="Refused"/> says so.
/// </summary>
public sealed class LocalStore : ProfileSource
{
    /// <summary>Keys whose signatures are asked for lie below the store, in this folder.</summary>
    public const string TrustedFolder = "trusted";

    /// <summary>What every file of a store is called behind GUID and age.</summary>
    public const string Ending = ".pack";
    private const string FolderVariable = "FORENGATE_STORE";

    /// <summary>GUID in 32 digits and at least one of the age, at most eight.</summary>
    private const int ShortestKey = 33;
    private const int LongestKey = 40;

    /// <summary>A pack of one kernel has some 25 KiB; more is none of ours.</summary>
    private const int MaxFileLength = 1 << 20;

    private readonly SymbolLimits _limits;
    private readonly Lock _lock = new();
    private readonly List<string> _refused = [];

    /// <param name="folder">Where it is; it need not exist until something is added.</param>
    /// <param name="limits">How many files are looked at.</param>
    public LocalStore(string folder, SymbolLimits? limits = null) => (Folder, _limits) = (Path.GetFullPath(folder), limits ?? SymbolLimits.Default);

    public string Folder { get; }

    public override string Name => $"local store {Folder}";

    /// <summary>Files that were found and not used, each with why.</summary>
    public IReadOnlyList<string> Refused
    {
        get
        {
            lock (_lock)
                return [.. _refused];
        }
    }

    /// <summary>None without being asked: a store may hold thousands of kernels, and is never read as a whole for a look-up.</summary>
    public override IReadOnlyList<ProfilePack> Packs => [];

    /// <summary>Every kernel in the store, in the order of the keys; damaged files with what is wrong with them.</summary>
    public override IEnumerable<KnownKernel> Kernels
    {
        get
        {
            foreach (var path in Files())
            {
                KnownKernel kernel;
                try
                {
                    kernel = KnownKernel.Of(Open(path, KeyOf(path))[0], this, path);
                }
                catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
                {
                    kernel = new KnownKernel(null, null, Name, path, failure.Message, null);
                }
                yield return kernel;
            }
        }
    }

    /// <summary>The store where none is named: <c>$FORENGATE_STORE</c>, else <c>forengate/symbols</c> in the user's data folder; null where the user has none.</summary>
    public static string? DefaultFolder
    {
        get
        {
            if (Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } named)
                return named;
            var data = Environment.GetEnvironmentVariable("XDG_DATA_HOME");
            if (string.IsNullOrEmpty(data) || !Path.IsPathFullyQualified(data))
                data = Environment.GetEnvironmentVariable("HOME") is { Length: > 0 } home ? Path.Combine(home, ".local", "share") : null;
            return data is null ? null : Path.Combine(data, "forengate", "symbols");
        }
    }

    /// <inheritdoc/>
    public override KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        var path = PathOf(symbols);
        tried = Name;
        if (!File.Exists(path))
            return null;
        try
        {
            return Open(path, symbols.Key)[0];
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // A host in trouble must not fail over a spoilt copy of what another source may have.
            tried = $"{Name} (refused: {failure.Message})";
            lock (_lock)
                _refused.Add($"not used: {failure.Message}; add the kernel's symbols again, or remove the file");
            return null;
        }
    }

    /// <summary>Keeps a profile: written beside its place and renamed when whole.</summary>
    /// <param name="profile">The profile.</param>
    /// <param name="version">The kernel's file version where the profile does not say it.</param>
    /// <returns>The file; and false where the store had these very bytes already.</returns>
    /// <exception cref="IOException">The folder cannot be made or written to.</exception>
    public (string Path, bool IsNew) Add(KernelProfile profile, Version? version = null)
    {
        var bytes = PackMerge.PackOf(profile, version);
        var path = PathOf(profile.CodeView);
        if (File.Exists(path) && new FileInfo(path).Length == bytes.Length && File.ReadAllBytes(path).AsSpan().SequenceEqual(bytes))
            return (path, false);
        Directory.CreateDirectory(Folder);
        WholeFile.Write(path, bytes);
        return (path, true);
    }

    private string PathOf(CodeViewRecord symbols) => Path.Combine(Folder, symbols.Key + Ending);

    private static string KeyOf(string path) => Path.GetFileNameWithoutExtension(path);

    private IEnumerable<string> Files() => Directory.Exists(Folder)
        ? Directory.EnumerateFiles(Folder, "*" + Ending)
            .Where(path => KeyOf(path) is { Length: >= ShortestKey and <= LongestKey } key && key.All(char.IsAsciiHexDigitUpper))
            .Take(_limits.MaxFiles).Order(StringComparer.Ordinal)
        : [];

    private static ProfilePack Open(string path, string key)
    {
        var pack = ProfilePack.Open($"local store, {path}", WholeFile.Read(path, MaxFileLength));
        return pack.Count == 1 && pack[0].CodeView.Key == key
            ? pack
            : throw new PackFormatException($"{path} is not the profile of the kernel that its name says");
    }
}
