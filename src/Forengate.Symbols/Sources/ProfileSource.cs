namespace Forengate.Symbols;

/// <summary>Somewhere that profiles come from: a pack, a symbol file, a folder of symbol files.</summary>
public abstract class ProfileSource
{
    /// <summary>For people: a path, "carried pack".</summary>
    public abstract string Name { get; }

    /// <summary>What is known without asking for a certain kernel: for searches before the build is known.</summary>
    public abstract IReadOnlyList<ProfilePack> Packs { get; }

    /// <summary>Every kernel the source can be listed for; files that cannot be read among them, with why.</summary>
    public virtual IEnumerable<KnownKernel> Kernels =>
        Packs.SelectMany(pack => Enumerable.Range(0, pack.Count).Select(index => KnownKernel.Of(pack[index], this, File.Exists(pack.Name) ? pack.Name : null)));

    /// <summary>Finds the profile of a kernel; null where this source has none.</summary>
    /// <param name="symbols">The kernel's CodeView record.</param>
    /// <param name="tried">What was looked at and why it did not do, or where the profile was found.</param>
    /// <exception cref="IOException">What was found is damaged or cannot be read: the user named it, so it is not passed over in silence.</exception>
    public abstract KernelProfile? Find(CodeViewRecord symbols, out string tried);

    /// <summary>Opens what a user calls symbols: a PDB, an ISF file (plain, .xz or .zst), a profile pack, or a folder of those (a symbol store, Volatility's symbols folder, or any other).</summary>
    /// <param name="path">The file or folder.</param>
    /// <param name="limits">What is believed of it.</param>
    /// <param name="trust">Whose packs are taken; null for everyone's.</param>
    /// <exception cref="FileNotFoundException">There is nothing at that path.</exception>
    /// <exception cref="SymbolFormatException">The file is none of those, or damaged.</exception>
    /// <exception cref="PackFormatException">It is a damaged pack, or one that is not signed as it must be.</exception>
    public static ProfileSource Open(string path, SymbolLimits? limits = null, PackTrust? trust = null)
    {
        if (Directory.Exists(path))
            return new FolderProfileSource(path, limits ?? SymbolLimits.Default, trust);
        if (!File.Exists(path))
            throw new FileNotFoundException($"{path}: no such file or folder of symbols", path);
        return SymbolFileKind.Of(path) switch
        {
            SymbolFileKind.Kind.Pdb => new FileProfileSource(OpenPdb(path, limits)),
            SymbolFileKind.Kind.Isf => new FileProfileSource(ProfileColumns.MakePack(IsfFile.Open(path, limits), null)),
            SymbolFileKind.Kind.Pack => new FileProfileSource(OpenPack(path, trust)),
            _ => throw new SymbolFormatException($"{path} is no PDB, ISF file or profile pack, by its first bytes: give one of these, or a folder of them"),
        };
    }

    /// <summary>The full tables of a PDB or ISF file, to be disposed where they can be; null for any other file.</summary>
    /// <exception cref="SymbolFormatException">The file is damaged.</exception>
    public static ISymbolTables? OpenTables(string path, SymbolLimits? limits = null) => SymbolFileKind.Of(path) switch
    {
        SymbolFileKind.Kind.Pdb => PdbFile.Open(path, limits),
        SymbolFileKind.Kind.Isf => IsfFile.Open(path, limits),
        _ => null,
    };

    /// <summary>No pack has more bytes.</summary>
    public const int MaxPackLength = PackLayout.MaxLength;

    /// <summary>True for a file that begins as a profile pack does.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static bool IsPack(string path) => SymbolFileKind.Of(path) == SymbolFileKind.Kind.Pack;

    /// <summary>A pack as a source.</summary>
    public static ProfileSource Of(ProfilePack pack) => new FileProfileSource(pack);

    private static ProfilePack OpenPdb(string path, SymbolLimits? limits)
    {
        using var pdb = PdbFile.Open(path, limits);
        return ProfileColumns.MakePack(pdb, null);
    }

    private static ProfilePack OpenPack(string path, PackTrust? trust)
    {
        var bytes = WholeFile.Read(path, PackLayout.MaxLength);
        // The very bytes that are opened: the file may be another one a moment later.
        trust?.Check(path, bytes);
        return ProfilePack.Open(path, bytes);
    }
}
