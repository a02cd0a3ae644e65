namespace Forengate.Symbols;

/// <summary>A field of a structure or union.</summary>
/// <param name="Name">Its name; empty for an anonymous member, whose own fields count as its owner's.</param>
/// <param name="Offset">Bytes from the start of its owner; of a bit-field, of the unit it lies in.</param>
/// <param name="Type">What it holds; of a bit-field, the type of the unit.</param>
/// <param name="BitPosition">Lowest bit of a bit-field in its unit.</param>
/// <param name="BitLength">Bits of a bit-field; 0 for whole fields.</param>
/// <param name="IsBase">It is a base class, not a member.</param>
public sealed record TypeField(string Name, long Offset, TypeReference Type, int BitPosition = 0, int BitLength = 0, bool IsBase = false)
{
    public bool IsBitField => BitLength != 0;

    /// <summary>Its type's fields are reached without its name.</summary>
    public bool IsTransparent => IsBase || Name.Length == 0;
}
