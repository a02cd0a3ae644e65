namespace Forengate.Symbols;

/// <summary>
/// The profile pack, version 3 (docs/formats/profile-pack.md). Little endian throughout. Header, name tables, shapes, layouts, profiles, hypotheses, origins; profiles are sorted
/// by their 20-byte key so that they are found by bisection in the bytes themselves. A shape is how one structure looks, a layout which shape each has. Version 2 had neither hypotheses
/// nor origins.
/// </summary>
internal static class PackLayout
{
    /// <summary>"FGPROFIL".</summary>
    public const ulong Magic = 0x4C49464F52504746;
    public const ushort Version = 3;

    /// <summary>The oldest version that is still read.</summary>
    public const ushort OldestVersion = 2;

    // Header.
    public const int MagicOffset = 0;
    public const int VersionOffset = 8;
    /// <summary>u32: bytes of the whole pack.</summary>
    public const int LengthOffset = 12;
    /// <summary>SHA-256 of everything behind the header.</summary>
    public const int DigestOffset = 16;
    public const int DigestLength = 32;
    public const int StructCountOffset = 48;
    public const int FieldCountOffset = 52;
    public const int GlobalCountOffset = 56;
    public const int LayoutCountOffset = 60;
    public const int ProfileCountOffset = 64;
    /// <summary>u32: bytes of the name tables.</summary>
    public const int NamesLengthOffset = 68;
    /// <summary>u32: bytes of the shapes.</summary>
    public const int ShapesLengthOffset = 72;
    /// <summary>Where version 2 ends its header.</summary>
    public const int HeaderLengthOfVersion2 = 76;
    /// <summary>u32, from version 3 on: how many layouts are known by version only.</summary>
    public const int HypothesisCountOffset = 76;
    /// <summary>u32, from version 3 on: bytes of the names of their origins.</summary>
    public const int OriginsLengthOffset = 80;
    public const int HeaderLength = 84;

    // The shapes of one structure: how many (u16), then for each its size and the places of its fields (u32 each). A layout: the number of a shape (u16) for each structure.
    public const int ShapeCountLength = sizeof(ushort);

    // A profile record; its globals' addresses (u32 each) follow.
    public const int KeyLength = 20;
    public const int ProfileGuidOffset = 0;
    public const int ProfileAgeOffset = 16;
    /// <summary>Four u16: 10, 0, 19041, 329.</summary>
    public const int ProfileVersionOffset = 20;
    /// <summary>u32: index of the layout.</summary>
    public const int ProfileLayoutOffset = 28;
    public const int ProfileGlobalsOffset = 32;

    // A hypothesis: a layout that is known by the kernel's version, or by time stamp and size of its file.
    /// <summary>Four u16: 10, 0, 22631, 2428.</summary>
    public const int HypothesisVersionOffset = 0;
    /// <summary>u16: PE machine type.</summary>
    public const int HypothesisMachineOffset = 8;
    /// <summary>u16: index of its origin.</summary>
    public const int HypothesisOriginOffset = 10;
    /// <summary>u32: index of the layout.</summary>
    public const int HypothesisLayoutOffset = 12;
    /// <summary>u32: TimeDateStamp of the file; 0 where it is not known.</summary>
    public const int HypothesisTimestampOffset = 16;
    /// <summary>u32: SizeOfImage of the file; 0 where it is not known.</summary>
    public const int HypothesisImageSizeOffset = 20;
    public const int HypothesisLength = 24;

    /// <summary>A size, place or address that the build does not have.</summary>
    public const uint None = 0xFFFFFFFF;

    // A field's place: offset in bits 0 to 19, bit position in 20 to 25, bit length (0 = whole field, 1 to 63) in 26 to 31.
    public const int PlaceOffsetBits = 20;
    public const int PlacePositionBits = 6;

    /// <summary>No structure is larger, in bytes: its fields could not be placed.</summary>
    public const int MaxStructSize = 1 << PlaceOffsetBits;

    // Limits: a pack that says more is refused before anything is allocated for it.
    public const int MaxLength = 64 << 20;
    public const int MaxColumns = 1 << 16;
    public const int MaxProfiles = 1 << 16;
    public const int MaxOrigins = 1 << 8;

    public static uint Pack(FieldPlace place) =>
        (uint)place.Offset | ((uint)place.BitPosition << PlaceOffsetBits) | ((uint)place.BitLength << (PlaceOffsetBits + PlacePositionBits));

    public static FieldPlace Unpack(uint value) => new(
        (int)(value & ((1u << PlaceOffsetBits) - 1)),
        (int)((value >> PlaceOffsetBits) & ((1u << PlacePositionBits) - 1)),
        (int)(value >> (PlaceOffsetBits + PlacePositionBits)));
}
