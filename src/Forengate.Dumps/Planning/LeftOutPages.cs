namespace Forengate.Dumps;

/// <summary>Pages that a dump leaves out by what it is, though the view has them.</summary>
/// <param name="What">What they are: "free", "zeroed", "standby"; of a kernel dump "user or unused".</param>
/// <param name="Pages">How many.</param>
public readonly record struct LeftOutPages(string What, ulong Pages);
