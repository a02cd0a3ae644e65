using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Forengate.Symbols;

/// <summary>
/// Makes a pack with this program's columns. The same profiles give the same bytes, in whatever order they were added.
/// </summary>
public sealed class PackWriter
{
    private readonly SortedDictionary<byte[], Entry> _profiles = new(KeyOrder.Instance);

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
        var layout = new uint[KernelSchema.Structs.Length + KernelSchema.Fields.Length];
        for (var i = 0; i < KernelSchema.Structs.Length; i++)
            layout[i] = sizeOf((KernelStruct)i) is { } size ? (uint)size : PackLayout.None;
        for (var i = 0; i < KernelSchema.Fields.Length; i++)
            layout[KernelSchema.Structs.Length + i] = placeOf((KernelField)i) is { } place ? PackLayout.Pack(Checked(place)) : PackLayout.None;
        var globals = new uint[KernelSchema.Globals.Length];
        for (var i = 0; i < globals.Length; i++)
            globals[i] = rvaOf((KernelGlobal)i) ?? PackLayout.None;

        var key = new byte[PackLayout.KeyLength];
        guid.TryWriteBytes(key);
        BinaryPrimitives.WriteUInt32LittleEndian(key.AsSpan(PackLayout.ProfileAgeOffset), age);
        return _profiles.TryAdd(key, new Entry(version, layout, globals));
    }

    public byte[] ToBytes()
    {
        var layouts = _profiles.Values.Select(entry => entry.Layout).Distinct(LayoutComparer.Instance).ToList();
        var layoutIndex = layouts.Index().ToDictionary(pair => pair.Item, pair => pair.Index, LayoutComparer.Instance);
        var names = PackNames.Write(
            KernelSchema.Structs.ToArray(),
            [.. KernelSchema.Fields.ToArray().Select(field => ((int)field.Struct, field.Name))],
            KernelSchema.Globals.ToArray());

        using var body = new MemoryStream();
        body.Write(names);
        foreach (var layout in layouts)
            Put(body, layout);
        Span<byte> record = stackalloc byte[PackLayout.ProfileGlobalsOffset];
        foreach (var (key, entry) in _profiles)
        {
            record.Clear();
            key.CopyTo(record);
            var version = record[PackLayout.ProfileVersionOffset..];
            BinaryPrimitives.WriteUInt16LittleEndian(version, checked((ushort)entry.Version.Major));
            BinaryPrimitives.WriteUInt16LittleEndian(version[2..], checked((ushort)entry.Version.Minor));
            BinaryPrimitives.WriteUInt16LittleEndian(version[4..], checked((ushort)entry.Version.Build));
            BinaryPrimitives.WriteUInt16LittleEndian(version[6..], checked((ushort)entry.Version.Revision));
            BinaryPrimitives.WriteInt32LittleEndian(record[PackLayout.ProfileLayoutOffset..], layoutIndex[entry.Layout]);
            body.Write(record);
            Put(body, entry.Globals);
        }

        var bytes = new byte[PackLayout.HeaderLength + body.Length];
        body.GetBuffer().AsSpan(0, (int)body.Length).CopyTo(bytes.AsSpan(PackLayout.HeaderLength));
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(PackLayout.MagicOffset), PackLayout.Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(PackLayout.VersionOffset), PackLayout.Version);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.LengthOffset), bytes.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.StructCountOffset), KernelSchema.Structs.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.FieldCountOffset), KernelSchema.Fields.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.GlobalCountOffset), KernelSchema.Globals.Length);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.LayoutCountOffset), layouts.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.ProfileCountOffset), _profiles.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(PackLayout.NamesLengthOffset), names.Length);
        SHA256.HashData(bytes.AsSpan(PackLayout.HeaderLength), bytes.AsSpan(PackLayout.DigestOffset, PackLayout.DigestLength));
        return bytes;
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

    private sealed record Entry(Version Version, uint[] Layout, uint[] Globals);

    private sealed class KeyOrder : IComparer<byte[]>
    {
        public static readonly KeyOrder Instance = new();

        public int Compare(byte[]? x, byte[]? y) => x.AsSpan().SequenceCompareTo(y);
    }

    private sealed class LayoutComparer : IEqualityComparer<uint[]>
    {
        public static readonly LayoutComparer Instance = new();

        public bool Equals(uint[]? x, uint[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(uint[] values)
        {
            var hash = default(HashCode);
            foreach (var value in values)
                hash.Add(value);
            return hash.ToHashCode();
        }
    }
}
