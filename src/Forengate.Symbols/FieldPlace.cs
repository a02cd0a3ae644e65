namespace Forengate.Symbols;

/// <summary>Where a field lies in its structure.</summary>
/// <param name="Offset">Bytes from the structure's start.</param>
/// <param name="BitPosition">Lowest bit of a bit-field within the storage unit at <paramref name="Offset"/>; 0 for whole fields.</param>
/// <param name="BitLength">Bits of a bit-field; 0 for whole fields.</param>
public readonly record struct FieldPlace(int Offset, int BitPosition, int BitLength)
{
    public bool IsBitField => BitLength != 0;
}
