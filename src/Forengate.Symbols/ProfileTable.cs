namespace Forengate.Symbols;

/// <summary>Sizes, places and addresses of one kernel, put together one by one: what a <see cref="KernelProfile"/> that comes from no pack holds.</summary>
public sealed class ProfileTable
{
    private readonly int?[] _sizes = new int?[KernelSchema.Structs.Length];
    private readonly FieldPlace?[] _places = new FieldPlace?[KernelSchema.Fields.Length];
    private readonly uint?[] _globals = new uint?[KernelSchema.Globals.Length];

    public int? SizeOf(KernelStruct type) => At(_sizes, (int)type);

    public FieldPlace? PlaceOf(KernelField field) => At(_places, (int)field);

    public uint? RvaOf(KernelGlobal global) => At(_globals, (int)global);

    /// <summary>Sets the size of a structure, in bytes.</summary>
    public void Set(KernelStruct type, int size) => _sizes[(int)type] = size;

    /// <summary>Sets the place of a field.</summary>
    public void Set(KernelField field, FieldPlace place) => _places[(int)field] = place;

    /// <summary>Sets the address of a global, relative to the kernel's base.</summary>
    public void Set(KernelGlobal global, uint rva) => _globals[(int)global] = rva;

    private static T? At<T>(T?[] values, int index)
        where T : struct => (uint)index < (uint)values.Length ? values[index] : null;
}
