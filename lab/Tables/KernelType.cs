namespace Forengate.Lab.Tables;

/// <summary>A kernel structure: its size and the fields known of it.</summary>
internal sealed record KernelType(string Name, int Size, IReadOnlyDictionary<string, KernelField> Fields);
