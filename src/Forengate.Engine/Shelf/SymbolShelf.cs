using Forengate.Symbols;

namespace Forengate.Engine;

/// <summary>What became of one kernel that was to be added to the store.</summary>
/// <param name="Source">The file it came from.</param>
/// <param name="CodeView">Which kernel; null where the file says none.</param>
/// <param name="Version">Its file version, where it is known.</param>
/// <param name="StoredAs">The store's file; null where it was not taken.</param>
/// <param name="Outcome">"added", "was there already", or why it was not taken.</param>
public sealed record AddedKernel(string Source, CodeViewRecord? CodeView, Version? Version, string? StoredAs, string Outcome);

/// <summary>A pack that was written.</summary>
/// <param name="Kernels">How many kernels are in it.</param>
/// <param name="Layouts">How many layouts that are known by version only.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="SignatureFile">The signature beside it; null where none was asked for.</param>
/// <param name="Remarks">Kernels that two sources know differently, files that could not be read.</param>
public sealed record WrittenPack(int Kernels, int Layouts, int Bytes, string? SignatureFile, IReadOnlyList<string> Remarks);

/// <summary>All symbols at hand, in the order in which they are asked: listed, added to the host's store, shown type by type, packed.</summary>
public sealed class SymbolShelf
{
    private readonly TargetOptions _options;
    private readonly PackTrust _trust;
    private readonly ProfileStore _store;
    private readonly LocalStore? _local;

    private SymbolShelf(TargetOptions options)
    {
        _options = options;
        _trust = PackTrust.Of(options.TrustedKeys, options.StoreFolder);
        // Servers cannot be listed, and nothing here asks them.
        using var known = KnownProfiles.Of(options with { SymbolServers = [] });
        (_store, _local) = (known.Store, known.Local);
    }

    /// <exception cref="IOException">A named symbol file is none, or damaged, or a pack is not signed as it must be.</exception>
    public static SymbolShelf Open(TargetOptions options) => new(options);

    /// <summary>Every kernel of every source, the first asked first.</summary>
    public IEnumerable<KnownKernel> Kernels => _store.Sources.SelectMany(static source => source.Kernels);

    /// <summary>Layouts that are known by version only: hypotheses for kernels that are in no source.</summary>
    public IEnumerable<VersionLayout> Layouts => _store.Layouts;

    /// <summary>Puts kernels into the local store.</summary>
    /// <param name="paths">PDBs, ISF files, packs, folders of them.</param>
    /// <param name="version">File version, for one kernel whose file does not say it; else null.</param>
    /// <param name="cancellation">Ends the work between two kernels.</param>
    /// <exception cref="IOException">A named file is none of those, or the store cannot be written.</exception>
    public IEnumerable<AddedKernel> Add(IReadOnlyList<string> paths, Version? version, CancellationToken cancellation)
    {
        var store = _local ?? throw new IOException("there is no local store: name its folder with --store");
        foreach (var path in paths)
        {
            var source = ProfileSource.Open(path, null, _trust);
            foreach (var kernel in source.Kernels)
            {
                cancellation.ThrowIfCancellationRequested();
                yield return Keep(store, source, kernel, version);
            }
        }
    }

    /// <summary>Writes kernels into one pack: beside its place, renamed when whole.</summary>
    /// <param name="output">The pack's file.</param>
    /// <param name="paths">Further symbol files, before the store's kernels.</param>
    /// <param name="includeCarried">Also what the program carries.</param>
    /// <param name="builds">Only kernels of these builds ("19041", "10.0.22000.1"); empty for all.</param>
    /// <param name="mostBytes">The size it may have.</param>
    /// <param name="signingKey">PEM file of the private key to sign with; null for no signature.</param>
    /// <param name="cancellation">Ends the work between two kernels.</param>
    /// <exception cref="IOException">A file cannot be read, the pack would be empty or too large, or cannot be written.</exception>
    public WrittenPack Pack(
        string output, IReadOnlyList<string> paths, bool includeCarried, IReadOnlyList<string> builds, int mostBytes, string? signingKey, CancellationToken cancellation)
    {
        var (merge, remarks) = (new PackMerge(), new List<string>());
        var carried = ProfileStore.Carried.Sources;
        IEnumerable<ProfileSource> sources =
            [.. paths.Select(path => ProfileSource.Open(path, null, _trust)), .. _store.Sources.Where(source => includeCarried || !carried.Contains(source))];
        foreach (var source in sources)
        {
            foreach (var kernel in source.Kernels)
            {
                cancellation.ThrowIfCancellationRequested();
                if (kernel.Problem is { } problem)
                    remarks.Add(problem);
                else if (builds.Count == 0 || builds.Any(build => Matches(kernel, build)))
                    Take(merge, source, kernel, remarks);
            }
            foreach (var layout in source.Packs.SelectMany(pack => pack.Layouts).Where(layout => builds.Count == 0 || builds.Any(build => Matches(layout.Version, build))))
                merge.Add(layout);
        }
        var bytes = merge.ToBytes(mostBytes);
        var signature = signingKey is null ? null : PackSignature.Sign(bytes, signingKey);
        // An old signature beside a new pack would call it forged.
        File.Delete(output + PackSignature.Ending);
        WholeFile.Write(output, bytes);
        if (signature is not null)
            WholeFile.Write(output + PackSignature.Ending, signature);
        return new WrittenPack(merge.Count, merge.Layouts, bytes.Length, signature is null ? null : output + PackSignature.Ending, [.. remarks, .. merge.Differing]);
    }

    /// <summary>Lays a type of a build out.</summary>
    /// <param name="type">"_EPROCESS".</param>
    /// <param name="build">A build number, version, GUID-age or symbol file; null for the first that <c>--symbols</c> names, else the newest known.</param>
    /// <param name="depth">Structures within structures that are gone into.</param>
    /// <exception cref="IOException">There is no such build, or it has no such type.</exception>
    public TypeSheet Show(string type, string? build, int depth)
    {
        using var found = Resolve(build);
        return SheetOf(found, type, depth, whole: true);
    }

    /// <summary>The same type of two builds. Where one of them is a profile only, both are reduced to the fields that profiles carry.</summary>
    /// <inheritdoc cref="Show"/>
    public (TypeSheet One, TypeSheet Other) Compare(string type, string? build, string against, int depth)
    {
        using var one = Resolve(build);
        using var other = Resolve(against);
        var whole = one.Tables is not null && other.Tables is not null;
        return (SheetOf(one, type, depth, whole), SheetOf(other, type, depth, whole));
    }

    private static TypeSheet SheetOf(ShelfBuild build, string type, int depth, bool whole) =>
        (whole && build.Tables is { } tables ? TypeSheet.Of(tables, build.Label, type, depth) : TypeSheet.Of(build.Profile, build.Label, type))
        ?? throw new IOException($"{build.Label} has no type {type}"
            + (build.Tables is null ? ": profiles carry the types that Forengate needs; for others name the kernel's PDB or ISF file with --symbols" : ""));

    private ShelfBuild Resolve(string? word)
    {
        if (word is not null && File.Exists(word))
            return Open(ProfileSource.Open(word, null, _trust), static _ => true) ?? throw new IOException($"{word} has no kernel in it");
        if (word is null && _options.Symbols.Count > 0)
            return Open(_store.Sources[0], static _ => true) ?? throw new IOException($"{_options.Symbols[0]} has no kernel in it");
        if (word is null)
        {
            var newest = Kernels.Where(static kernel => kernel.Profile is not null).MaxBy(static kernel => kernel.Version ?? new Version(0, 0))
                ?? throw new IOException("no kernel is known here: name symbols with --symbols");
            return new ShelfBuild(newest, newest.Profile!, null);
        }
        // Of several kernels of a build, the newest: of the first source that has one.
        foreach (var source in _store.Sources)
        {
            if (Open(source, kernel => Matches(kernel, word)) is { } found)
                return found;
        }
        throw new IOException($"no kernel '{word}' is known: 'forengate symbols list' shows builds and GUID-ages; a symbol file does as well");
    }

    private static ShelfBuild? Open(ProfileSource source, Func<KnownKernel, bool> isMeant)
    {
        var kernel = source.Kernels.Where(kernel => kernel.CodeView is not null && isMeant(kernel)).MaxBy(static kernel => kernel.Version ?? new Version(0, 0));
        return kernel is not null && (kernel.Profile ?? source.Find(kernel.CodeView!, out _)) is { } profile
            ? new ShelfBuild(kernel, profile, kernel.File is { } file ? ProfileSource.OpenTables(file) : null)
            : null;
    }

    private AddedKernel Keep(LocalStore store, ProfileSource source, KnownKernel kernel, Version? version)
    {
        var file = kernel.File ?? kernel.Source;
        if (kernel.CodeView is null || kernel.Problem is not null)
            return new AddedKernel(file, kernel.CodeView, null, null, $"not taken: {kernel.Problem}");
        KernelProfile? profile;
        try
        {
            profile = kernel.Profile ?? source.Find(kernel.CodeView, out _);
        }
        catch (IOException failure)
        {
            return new AddedKernel(file, kernel.CodeView, null, null, $"not taken: {failure.Message}");
        }
        if (profile is null || !IsKernel(profile))
            return new AddedKernel(file, kernel.CodeView, null, null, "not taken: these are no kernel's symbols (no _EPROCESS, no PsActiveProcessHead); the kernel's PDB is called ntkrnlmp.pdb");
        // A PDB does not say its build; another source may know the same kernel by it.
        var known = version ?? kernel.Version ?? (_store.Find(kernel.CodeView, out _) is { Version.Major: > 0 } other ? other.Version : null);
        var (path, isNew) = store.Add(profile, known);
        return new AddedKernel(file, kernel.CodeView, known, path, isNew ? "added" : "was there already");
    }

    private static void Take(PackMerge merge, ProfileSource source, KnownKernel kernel, List<string> remarks)
    {
        try
        {
            if ((kernel.Profile ?? source.Find(kernel.CodeView!, out _)) is not { } profile)
                return;
            if (IsKernel(profile))
                merge.Add(profile);
            else
                remarks.Add($"{kernel.File ?? kernel.Source}: not packed: no kernel's symbols");
        }
        catch (IOException failure)
        {
            remarks.Add(failure.Message);
        }
    }

    private static bool IsKernel(KernelProfile profile) =>
        profile.SizeOf(KernelStruct.EPROCESS) is not null && (profile.RvaOf(KernelGlobal.PsActiveProcessHead) ?? profile.RvaOf(KernelGlobal.PsLoadedModuleList)) is not null;

    /// <summary>"19041", "10.0.19041", "10.0.19041.329", "BBED…1" or "bbed…-1".</summary>
    private static bool Matches(KnownKernel kernel, string word)
    {
        if (kernel.CodeView?.Key.Equals(word.Replace("-", "", StringComparison.Ordinal), StringComparison.OrdinalIgnoreCase) == true)
            return true;
        return kernel.Version is { } version && Matches(version, word);
    }

    private static bool Matches(Version version, string word) =>
        version.Build.ToString(System.Globalization.CultureInfo.InvariantCulture) == word || $"{version}.".StartsWith($"{word}.", StringComparison.Ordinal)
                || $"{version.Build}.{version.Revision}" == word;
}
