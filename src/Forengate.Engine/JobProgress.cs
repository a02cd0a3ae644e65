namespace Forengate.Engine;

/// <summary>How far a job is.</summary>
/// <param name="What">The step, for people: "copying memory".</param>
/// <param name="Done">Bytes (or items) done.</param>
/// <param name="Total">Bytes (or items) in all; 0 where unknown.</param>
public readonly record struct JobProgress(string What, ulong Done, ulong Total);
