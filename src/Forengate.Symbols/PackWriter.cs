using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Forengate.Symbols;

/// <summary>
/// Makes a pack with this program's columns. The same profiles give the same bytes, in whatever order they were added.
/// </summary>
public sealed class PackWriter
{
    private static readonly KernelField[][] FieldsOf = GroupFields();

    private readonly SortedDictionary<byte[], Entry> _profiles = new(KeyOrder.Instance);
    private readonly SortedDictionary<(Version Version, ushort Machine, string Origin, uint Timestamp, uint ImageSize), uint[][]> _hypotheses = [];

    /// <summary>Adds a kernel.</summary>
    /// <param name="guid">PDB GUID.</param>
    /// <param name="age">PDB age.</param>
    /// <param name="version">File version of the kernel, four parts of 16 bits.</param>
    /// <param name="sizeOf">Size of each structure of <see cref="KernelSchema"/>; null where it has none.</param>
    /// <param name="placeOf">Place of each field; null where it has none.</param>
    /// <param name="rvaOf">Address of each global relative to the image base; null where it has none.</param>
    /// <returns>False when the pack has that kernel already.</returns>
    public bool Add(
        Guid guid, uint age, Version version,
        Func<KernelStruct, int?> sizeOf, Func<KernelField, FieldPlace?> placeOf, Func<KernelGlobal, uint?> rvaOf)
    {
        var globals = new uint[KernelSchema.Globals.Length];
        for (var i = 0; i < globals.Length; i++)
            globals[i] = rvaOf((KernelGlobal)i) ?? PackLayout.None;

        var key = new byte[PackLayout.KeyLength];
        guid.TryWriteBytes(key);
        BinaryPrimitives.WriteUInt32LittleEndian(key.AsSpan(PackLayout.ProfileAgeOffset), age);
        return _profiles.TryAdd(key, new Entry(version, ShapesOf(sizeOf, placeOf), globals));
    }

    /// <summary>Adds a layout that is known by the kernel's version, or by its file's time stamp and size, only.</summary>
    /// <param name="version">File version of the kernel, four parts of 16 bits.</param>
    /// <param name="machine">PE machine type: 0x8664, 0x14C.</param>
    /// <param name="origin">Where it is from, for people; ASCII, at most 255 characters.</param>
    /// <param name="file">TimeDateStamp and SizeOfImage of the file it is for; zeros where they are not known.</param>
    /// <param name="sizeOf">Size of each structure; null where it is not known.</param>
    /// <param name="placeOf">Place of each field; null where it is not known.</param>
    /// <returns>False when the pack has one known by the same already.</returns>
    public bool AddLayout(
        Version version, ushort machine, string origin, (uint Timestamp, uint ImageSize) file, Func<KernelStruct, int?> sizeOf, Func<KernelField, FieldPlace?> placeOf) =>
        _hypotheses.TryAdd((version, machine, origin, file.Timestamp, file.ImageSize), ShapesOf(sizeOf, placeOf));

    public byte[] ToBytes()
    {
        var shapes = Enumerable.Range(0, FieldsOf.Length)
            .Select(i => new Distinct<uint>(_profiles.Values.Select(entry => entry.Shapes[i]).Concat(_hypotheses.Values.Select(shapes => shapes[i]))))
            .ToArray();
        var layouts = new Distinct<ushort>(_profiles.Values.Select(entry => NumbersOf(entry.Shapes)).Concat(_hypotheses.Values.Select(NumbersOf)));
        ushort[] NumbersOf(uint[][] rows) => [.. shapes.Select((known, i) => checked((ushort)known.NumberOf(rows[i])))];
        var origins = _hypotheses.Keys.Select(static known => known.Origin).Distinct().Order(StringComparer.Ordinal).ToList();
        var originNames = PackNames.WriteList(origins);
        var names = PackNames.Write(
            KernelSchema.Structs.ToArray(),
            [.. KernelSchema.Fields.ToArray().Select(field => ((int)field.Struct, field.Name))],
            KernelSchema.Globals.ToArray());

        using var body = new MemoryStream();
        body.Write(names);
        var shapesStart = body.Length;
        Span<byte> two = stackalloc byte[sizeof(ushort)];
        foreach (var known in shapes)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(two, checked((ushort)known.Items.Count));
            body.Write(two);
            foreach (var shape in known.Items)
                Put(body, shape);
        }
        var shapesLength = (int)(body.Length - shapesStart);
        foreach (var layout in layouts.Items)
        {
            foreach (var number in layout)
            {
                BinaryPrimitives.WriteUInt16LittleEndian(two, number);
                body.Write(two);
            }
        }
        Span<byte> record = stackalloc byte[PackLayout.ProfileGlobalsOffset];
        foreach (var (key, entry) in _profiles)
        {
            record.Clear();
            key.CopyTo(record);
            Put(record[PackLayout.ProfileVersionOffset..], entry.Version);
            BinaryPrimitives.WriteInt32LittleEndian(record[PackLayout.ProfileLayoutOffset..], layouts.NumberOf(NumbersOf(entry.Shapes)));
            body.Write(record);
            Put(body, entry.Globals);
        }
        record = stackalloc byte[PackLayout.HypothesisLength];
        foreach (var (known, rows) in _hypotheses)
        {
            Put(record[PackLayout.HypothesisVersionOffset..], known.Version);
            BinaryPrimitives.WriteUInt16LittleEndian(record[PackLayout.HypothesisMachineOffset..], known.Machine);
            BinaryPrimitives.WriteUInt16LittleEndian(record[PackLayout.HypothesisOriginOffset..], checked((ushort)origins.IndexOf(known.Origin)));
            BinaryPrimitives.WriteInt32LittleEndian(record[PackLayout.HypothesisLayoutOffset..], layouts.NumberOf(NumbersOf(rows)));
            BinaryPrimitives.WriteUInt32LittleEndian(record[PackLayout.HypothesisTimestampOffset..], known.Timestamp);
            BinaryPrimitives.WriteUInt32LittleEndian(record[PackLayout.HypothesisImageSizeOffset..], known.ImageSize);
            body.Write(record);
        }
        body.Write(originNames);

        var bytes = new byte[PackLayout.HeaderLength + body.Length];
        body.GetBuffer().AsSpan(0, (int)body.Length).CopyTo(bytes.AsSpan(PackLayout.HeaderLength));
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(PackLayout.MagicOffset), PackLayout.Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(PackLayout.VersionOffset), PackLayout.Version);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.LengthOffset), bytes.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.StructCountOffset), KernelSchema.Structs.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.FieldCountOffset), KernelSchema.Fields.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.GlobalCountOffset), KernelSchema.Globals.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.LayoutCountOffset), layouts.Items.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.ProfileCountOffset), _profiles.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.NamesLengthOffset), names.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.ShapesLengthOffset), shapesLength);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.HypothesisCountOffset), _hypotheses.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.OriginsLengthOffset), originNames.Length);
        SHA256.HashData(bytes.AsSpan(PackLayout.HeaderLength), bytes.AsSpan(PackLayout.DigestOffset, PackLayout.DigestLength));
        return bytes;
    }

    private static KernelField[][] GroupFields()
    {
        var fields = KernelSchema.Fields.ToArray();
        return [.. Enumerable.Range(0, KernelSchema.Structs.Length).Select(
            owner => Enumerable.Range(0, fields.Length).Where(i => (int)fields[i].Struct == owner).Select(i => (KernelField)i).ToArray())];
    }

    private static uint[][] ShapesOf(Func<KernelStruct, int?> sizeOf, Func<KernelField, FieldPlace?> placeOf)
    {
        // Shape by shape: a structure's size, then its fields in the order of the schema.
        var shapes = new uint[KernelSchema.Structs.Length][];
        for (var i = 0; i < shapes.Length; i++)
            shapes[i] = [sizeOf((KernelStruct)i) is { } size ? (uint)size : PackLayout.None, .. FieldsOf[i].Select(field => placeOf(field) is { } place ? PackLayout.Pack(Checked(place)) : PackLayout.None)];
        return shapes;
    }

    private static void Put(Span<byte> record, Version version)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(record, checked((ushort)version.Major));
        BinaryPrimitives.WriteUInt16LittleEndian(record[2..], checked((ushort)version.Minor));
        BinaryPrimitives.WriteUInt16LittleEndian(record[4..], checked((ushort)version.Build));
        BinaryPrimitives.WriteUInt16LittleEndian(record[6..], checked((ushort)version.Revision));
    }

    private static FieldPlace Checked(FieldPlace place) =>
        PackLayout.Unpack(PackLayout.Pack(place)) == place && PackLayout.Pack(place) != PackLayout.None
            ? place
            : throw new ArgumentOutOfRangeException(nameof(place), place, "the place does not fit a pack's column");

    private static void Put(MemoryStream body, uint[] values)
    {
        Span<byte> four = stackalloc byte[sizeof(uint)];
        foreach (var value in values)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(four, value);
            body.Write(four);
        }
    }

    private sealed record Entry(Version Version, uint[][] Shapes, uint[] Globals);

    private sealed class KeyOrder : IComparer<byte[]>
    {
        public static readonly KeyOrder Instance = new();

        public int Compare(byte[]? x, byte[]? y) => x.AsSpan().SequenceCompareTo(y);
    }

    /// <summary>Equal rows once each, numbered in the order they were first seen.</summary>
    private sealed class Distinct<T>
        where T : unmanaged, IEquatable<T>
    {
        private readonly Dictionary<T[], int> _numbers = new(RowComparer<T>.Instance);

        public Distinct(IEnumerable<T[]> rows)
        {
            foreach (var row in rows)
            {
                if (_numbers.TryAdd(row, Items.Count))
                    Items.Add(row);
            }
        }

        public List<T[]> Items { get; } = [];

        public int NumberOf(T[] row) => _numbers[row];
    }

    private sealed class RowComparer<T> : IEqualityComparer<T[]>
        where T : unmanaged, IEquatable<T>
    {
        public static readonly RowComparer<T> Instance = new();

        public bool Equals(T[]? x, T[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(T[] values)
        {
            var hash = default(HashCode);
            foreach (var value in values)
                hash.Add(value);
            return hash.ToHashCode();
        }
    }
}
