namespace Forengate.Symbols;

/// <summary>What an image was linked from.</summary>
/// <param name="Name">Object or import.</param>
/// <param name="File">The object, or the library that it came in.</param>
/// <param name="Stream">The stream of its private symbols; null where the PDB has none of it.</param>
public sealed record PdbModule(string Name, string File, int? Stream);
