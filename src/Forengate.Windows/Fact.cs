namespace Forengate.Windows;

/// <summary>One thing found in memory, or looked for in vain, for people who want to know why they should believe it.</summary>
/// <param name="Name">What it is, in the field's words ("system directory table base").</param>
/// <param name="Value">Printable value; null where it was not found.</param>
/// <param name="How">Where it came from; for what was not found: what was tried.</param>
public readonly record struct Fact(string Name, string? Value, string How);
