namespace Forengate.Lab.Tables;

/// <summary>One field of a kernel structure, as the build's own type information has it.</summary>
/// <param name="Offset">Bytes from the start of the structure.</param>
/// <param name="Size">Bytes the field takes; of a bit field, those of its storage unit.</param>
/// <param name="Type">Name of the structure a field of structure type (or an array of them) holds, else null.</param>
/// <param name="Count">Elements of an array, 1 where the field is none.</param>
/// <param name="BitPosition">First bit of a bit field in its storage unit.</param>
/// <param name="BitLength">Bits of a bit field, 0 where the field is none.</param>
internal sealed record KernelField(string Name, int Offset, int Size, string? Type, int Count, int BitPosition, int BitLength);
