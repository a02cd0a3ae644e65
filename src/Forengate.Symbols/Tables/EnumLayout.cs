namespace Forengate.Symbols;

/// <summary>An enumeration.</summary>
/// <param name="Name">Microsoft's name.</param>
/// <param name="Underlying">The type it is kept in.</param>
/// <param name="Constants">In the order of the file.</param>
public sealed record EnumLayout(string Name, TypeReference Underlying, IReadOnlyList<EnumConstant> Constants);

/// <summary>A name of an enumeration.</summary>
/// <param name="Name">The name.</param>
/// <param name="Value">Its value; unsigned 64-bit values above 2⁶³ wrap around.</param>
public readonly record struct EnumConstant(string Name, long Value);
