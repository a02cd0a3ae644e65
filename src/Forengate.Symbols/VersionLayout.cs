namespace Forengate.Symbols;

/// <summary>
/// How the structures of one kernel version look, with no globals and no PDB GUID: it says where fields would lie, not which kernel it is for. A hypothesis, to be held against memory before it is used.
/// A field that it does not have may exist nevertheless.
/// </summary>
public sealed class VersionLayout
{
    /// <summary>PE machine types of kernels that layouts are known of.</summary>
    public const ushort MachineX64 = 0x8664, MachineX86 = 0x14C;

    private readonly ProfilePack _pack;
    private readonly int _layout;

    internal VersionLayout(ProfilePack pack, int index)
    {
        _pack = pack;
        (Version, Machine, Origin, _layout, Timestamp, ImageSize) = pack.HypothesisAt(index);
    }

    /// <summary>File version of the kernel: 10.0.22631.2428.</summary>
    public Version Version { get; }

    /// <summary>PE machine type of the kernel (0x8664, 0x14C).</summary>
    public ushort Machine { get; }

    /// <summary>Bytes of a pointer.</summary>
    public int PointerSize => Machine == MachineX86 ? 4 : 8;

    /// <summary>Who published it, for people.</summary>
    public string Origin { get; }

    /// <summary>TimeDateStamp of the kernel's file where the layout is known by it; else 0.</summary>
    public uint Timestamp { get; }

    /// <summary>SizeOfImage of the kernel's file where the layout is known by it; else 0.</summary>
    public uint ImageSize { get; }

    /// <summary>Size of a structure in bytes; null where it is not known.</summary>
    public int? SizeOf(KernelStruct type) => _pack.SizeOf(_layout, type);

    /// <summary>Offset of a field in bytes from the start of its structure; null where it is not known.</summary>
    public int? OffsetOf(KernelField field) => Field(field)?.Offset;

    /// <summary>Where a field lies; null where it is not known. Bit-fields are not: no source of such layouts has them right everywhere.</summary>
    public FieldPlace? Field(KernelField field) => _pack.PlaceOf(_layout, field);

    /// <summary>All that the layout says, to be completed with globals that were found otherwise.</summary>
    public ProfileTable ToTable()
    {
        var table = new ProfileTable();
        for (var i = 0; i < KernelSchema.Structs.Length; i++)
        {
            if (SizeOf((KernelStruct)i) is { } size)
                table.Set((KernelStruct)i, size);
        }
        for (var i = 0; i < KernelSchema.Fields.Length; i++)
        {
            if (Field((KernelField)i) is { } place)
                table.Set((KernelField)i, place);
        }
        return table;
    }

    public override string ToString() => $"{Version}{(Machine == MachineX86 ? " (32 bits)" : "")}";
}
