using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Forengate.Symbols;

/// <summary>Many kernels' profiles in one checked block of bytes, keyed by PDB GUID and age. Immutable and safe for concurrent use.</summary>
public sealed class ProfilePack
{
    private readonly ReadOnlyMemory<byte> _memory;
    private readonly int[] _structColumns;
    private readonly int[] _fieldColumns;
    private readonly int[] _globalColumns;
    private readonly PackShapes _shapes;
    private readonly int _layoutsStart;
    private readonly int _layoutCount;
    private readonly int _profilesStart;
    private readonly int _profileLength;
    private readonly int _hypothesesStart;
    private readonly int _hypothesisCount;
    private readonly string[] _origins;

    private ReadOnlySpan<byte> Bytes => _memory.Span;

    private ProfilePack(
        string name, ReadOnlyMemory<byte> memory, PackNames names, PackShapes shapes, int layoutsStart, int layoutCount, int profilesStart, int profileCount, int hypothesisCount, string[] origins)
    {
        Name = name;
        _memory = memory;
        Count = profileCount;
        _shapes = shapes;
        _layoutsStart = layoutsStart;
        _layoutCount = layoutCount;
        _profilesStart = profilesStart;
        _profileLength = PackLayout.ProfileGlobalsOffset + (sizeof(uint) * names.GlobalCount);
        _hypothesesStart = profilesStart + (profileCount * _profileLength);
        (_hypothesisCount, _origins) = (hypothesisCount, origins);
        (_structColumns, _fieldColumns, _globalColumns) = names.Columns();
    }

    /// <summary>For people: "carried pack", a path.</summary>
    public string Name { get; }

    /// <summary>Profiles in the pack.</summary>
    public int Count { get; }

    /// <summary>Layouts that are known by version, or by their file's time stamp and size, only: never a kernel's own, always a hypothesis to be held against memory.</summary>
    public IReadOnlyList<VersionLayout> Layouts => field ??= [.. Enumerable.Range(0, _hypothesisCount).Select(index => new VersionLayout(this, index))];

    /// <summary>Checks and opens a pack.</summary>
    /// <param name="name">What to call it in messages.</param>
    /// <param name="memory">The whole pack; kept, and not to be changed. Looked up where it lies: nothing of it but its names is copied.</param>
    /// <exception cref="PackFormatException">The bytes are no pack, of another version, or damaged.</exception>
    public static ProfilePack Open(string name, ReadOnlyMemory<byte> memory)
    {
        var bytes = memory.Span;
        if (bytes.Length < PackLayout.HeaderLengthOfVersion2 || U64(bytes, PackLayout.MagicOffset) != PackLayout.Magic)
            throw new PackFormatException($"{name} is no profile pack");
        var version = U16(bytes, PackLayout.VersionOffset);
        if (version is < PackLayout.OldestVersion or > PackLayout.Version)
            throw new PackFormatException($"{name} is a profile pack of version {version}; this program reads versions {PackLayout.OldestVersion} and {PackLayout.Version}");
        var header = version == PackLayout.OldestVersion ? PackLayout.HeaderLengthOfVersion2 : PackLayout.HeaderLength;
        if (bytes.Length < header)
            throw new PackFormatException($"{name} is truncated: it ends within its header");
        if (bytes.Length > PackLayout.MaxLength || U32(bytes, PackLayout.LengthOffset) != bytes.Length)
            throw new PackFormatException($"{name} is truncated or padded: it has {bytes.Length} bytes and says {U32(bytes, PackLayout.LengthOffset)}");
        Span<byte> digest = stackalloc byte[PackLayout.DigestLength];
        SHA256.HashData(bytes[header..], digest);
        if (!digest.SequenceEqual(bytes.Slice(PackLayout.DigestOffset, PackLayout.DigestLength)))
            throw new PackFormatException($"{name} is damaged: its digest does not fit its content; get it anew");

        var structs = CountAt(bytes, PackLayout.StructCountOffset, PackLayout.MaxColumns, name);
        var fields = CountAt(bytes, PackLayout.FieldCountOffset, PackLayout.MaxColumns, name);
        var globals = CountAt(bytes, PackLayout.GlobalCountOffset, PackLayout.MaxColumns, name);
        var layouts = CountAt(bytes, PackLayout.LayoutCountOffset, PackLayout.MaxProfiles, name);
        var profiles = CountAt(bytes, PackLayout.ProfileCountOffset, PackLayout.MaxProfiles, name);
        var (namesLength, shapesLength) = (U32(bytes, PackLayout.NamesLengthOffset), U32(bytes, PackLayout.ShapesLengthOffset));
        var hypotheses = version == PackLayout.OldestVersion ? 0 : CountAt(bytes, PackLayout.HypothesisCountOffset, PackLayout.MaxProfiles, name);
        var originsLength = version == PackLayout.OldestVersion ? 0 : U32(bytes, PackLayout.OriginsLengthOffset);
        var expected = header + (long)namesLength + shapesLength + (layouts * (long)sizeof(ushort) * structs)
            + (profiles * (PackLayout.ProfileGlobalsOffset + (4L * globals))) + (hypotheses * (long)PackLayout.HypothesisLength) + originsLength;
        if (expected != bytes.Length)
            throw new PackFormatException($"{name} is damaged: its tables need {expected} bytes, it has {bytes.Length}");

        var names = PackNames.Read(memory.Slice(header, (int)namesLength), structs, fields, globals)
            ?? throw new PackFormatException($"{name} is damaged: its name tables do not parse");
        var shapesStart = header + (int)namesLength;
        var shapes = PackShapes.Read(bytes, shapesStart, (int)shapesLength, names, sizesMayLack: hypotheses > 0)
            ?? throw new PackFormatException($"{name} is damaged: its structures' shapes do not parse");
        var layoutsStart = shapesStart + (int)shapesLength;
        var origins = PackNames.ReadList(bytes[(bytes.Length - (int)originsLength)..], PackLayout.MaxOrigins)
            ?? throw new PackFormatException($"{name} is damaged: the names of its origins do not parse");
        var pack = new ProfilePack(name, memory, names, shapes, layoutsStart, layouts, layoutsStart + (layouts * sizeof(ushort) * structs), profiles, hypotheses, origins);
        pack.CheckLayouts(structs);
        pack.CheckProfiles();
        pack.CheckHypotheses();
        return pack;
    }

    /// <summary>Finds a kernel's profile; null where the pack has none.</summary>
    public KernelProfile? Find(Guid guid, uint age)
    {
        Span<byte> key = stackalloc byte[PackLayout.KeyLength];
        guid.TryWriteBytes(key);
        BinaryPrimitives.WriteUInt32LittleEndian(key[PackLayout.ProfileAgeOffset..], age);
        var (low, high) = (0, Count - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var order = KeyOf(middle).SequenceCompareTo(key);
            if (order == 0)
                return new KernelProfile(this, middle);
            if (order < 0)
                low = middle + 1;
            else
                high = middle - 1;
        }
        return null;
    }

    /// <summary>Profile by position, 0 to <see cref="Count"/> - 1, in the order of their keys.</summary>
    public KernelProfile this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(index);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
            return new KernelProfile(this, index);
        }
    }

    /// <summary>
    /// Every offset the field has in any kernel of the pack, ascending. For the search before the build is known: what is the same in all builds needs no profile,
    /// and what has four values can be tried four times.
    /// </summary>
    public IReadOnlyList<int> OffsetsOf(KernelField field)
    {
        var offsets = new SortedSet<int>();
        foreach (var layout in ProfileLayouts())
        {
            if (PlaceOf(layout, field) is { } place)
                offsets.Add(place.Offset);
        }
        return [.. offsets];
    }

    /// <summary>Every size the structure has in any kernel of the pack, ascending.</summary>
    public IReadOnlyList<int> SizesOf(KernelStruct type)
    {
        var sizes = new SortedSet<int>();
        foreach (var layout in ProfileLayouts())
        {
            if (SizeOf(layout, type) is { } size)
                sizes.Add(size);
        }
        return [.. sizes];
    }

    internal int LayoutOf(int profile) => (int)U32(Bytes, ProfileStart(profile) + PackLayout.ProfileLayoutOffset);

    internal CodeViewRecord CodeViewOf(int profile)
    {
        var record = Bytes.Slice(ProfileStart(profile), PackLayout.KeyLength);
        return new CodeViewRecord(
            PackNames.KernelPdb, new Guid(record[..PackLayout.ProfileAgeOffset]), BinaryPrimitives.ReadUInt32LittleEndian(record[PackLayout.ProfileAgeOffset..]));
    }

    internal Version VersionOf(int profile) => VersionAt(ProfileStart(profile) + PackLayout.ProfileVersionOffset);

    /// <summary>What a hypothesis is known by.</summary>
    internal (Version Version, ushort Machine, string Origin, int Layout, uint Timestamp, uint ImageSize) HypothesisAt(int index)
    {
        var start = _hypothesesStart + (index * PackLayout.HypothesisLength);
        return (
            VersionAt(start + PackLayout.HypothesisVersionOffset), U16(Bytes, start + PackLayout.HypothesisMachineOffset), _origins[U16(Bytes, start + PackLayout.HypothesisOriginOffset)],
            (int)U32(Bytes, start + PackLayout.HypothesisLayoutOffset), U32(Bytes, start + PackLayout.HypothesisTimestampOffset), U32(Bytes, start + PackLayout.HypothesisImageSizeOffset));
    }

    internal int? SizeOf(int layout, KernelStruct type) =>
        Column(_structColumns, (int)type) is { } column ? Value(_shapes.SizeOffset(column, ShapeOf(layout, column))) : null;

    internal FieldPlace? PlaceOf(int layout, KernelField field) =>
        Column(_fieldColumns, (int)field) is { } column ? PlaceOf(_shapes.PlaceOffset(column, ShapeOf(layout, _shapes.OwnerOf(column)))) : null;

    internal uint? RvaOf(int profile, KernelGlobal global)
    {
        if (Column(_globalColumns, (int)global) is not { } column)
            return null;
        var value = U32(Bytes, ProfileStart(profile) + PackLayout.ProfileGlobalsOffset + (sizeof(uint) * column));
        return value == PackLayout.None ? null : value;
    }

    private FieldPlace? PlaceOf(int offset)
    {
        var value = U32(Bytes, offset);
        return value == PackLayout.None ? null : PackLayout.Unpack(value);
    }

    private int ShapeOf(int layout, int structColumn) =>
        BinaryPrimitives.ReadUInt16LittleEndian(Bytes[(_layoutsStart + (((layout * _shapes.StructCount) + structColumn) * sizeof(ushort)))..]);

    private void CheckLayouts(int structs)
    {
        for (var layout = 0; layout < _layoutCount; layout++)
        {
            for (var i = 0; i < structs; i++)
            {
                if (ShapeOf(layout, i) >= _shapes.CountOf(i))
                    throw new PackFormatException($"{Name} is damaged: layout {layout} names shape {ShapeOf(layout, i)} of {_shapes.CountOf(i)} of structure {i}");
            }
        }
    }

    private void CheckProfiles()
    {
        for (var i = 0; i < Count; i++)
        {
            if ((uint)LayoutOf(i) >= (uint)_layoutCount)
                throw new PackFormatException($"{Name} is damaged: profile {i} names layout {(uint)LayoutOf(i)} of {_layoutCount}");
            if (i > 0 && KeyOf(i - 1).SequenceCompareTo(KeyOf(i)) >= 0)
                throw new PackFormatException($"{Name} is damaged: its profiles are not in order");
        }
    }

    private void CheckHypotheses()
    {
        for (var i = 0; i < _hypothesisCount; i++)
        {
            var start = _hypothesesStart + (i * PackLayout.HypothesisLength);
            if (U32(Bytes, start + PackLayout.HypothesisLayoutOffset) >= (uint)_layoutCount || U16(Bytes, start + PackLayout.HypothesisOriginOffset) >= _origins.Length)
                throw new PackFormatException($"{Name} is damaged: the layout by version {i} names layout {U32(Bytes, start + PackLayout.HypothesisLayoutOffset)} of {_layoutCount} or has no origin");
        }
    }

    /// <summary>The layouts that profiles have, once each: those by version only are of other machines too, and no kernel's for certain.</summary>
    private IEnumerable<int> ProfileLayouts() => Enumerable.Range(0, Count).Select(LayoutOf).Distinct();

    private Version VersionAt(int offset) => new(U16(Bytes, offset), U16(Bytes, offset + 2), U16(Bytes, offset + 4), U16(Bytes, offset + 6));

    private static int? Column(int[] columns, int member) => (uint)member < (uint)columns.Length && columns[member] >= 0 ? columns[member] : null;

    private int? Value(int offset)
    {
        var value = U32(Bytes, offset);
        return value > int.MaxValue ? null : (int)value;
    }

    private int ProfileStart(int profile) => _profilesStart + (profile * _profileLength);

    private ReadOnlySpan<byte> KeyOf(int profile) => Bytes.Slice(ProfileStart(profile), PackLayout.KeyLength);

    private static int CountAt(ReadOnlySpan<byte> bytes, int offset, int most, string name)
    {
        var count = U32(bytes, offset);
        return count <= most ? (int)count : throw new PackFormatException($"{name} is damaged: a table of {count} entries");
    }

    private static ushort U16(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[offset..]);

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);

    private static ulong U64(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]);
}
