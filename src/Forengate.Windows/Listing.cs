using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>The answer to "list all …": what was found, and what stood in the way.</summary>
/// <param name="Items">In the order found.</param>
/// <param name="Warnings">One line each: a list that does not close, memory that is missing. An empty listing always has one.</param>
public sealed record Listing<T>(IReadOnlyList<T> Items, IReadOnlyList<string> Warnings)
{
    /// <summary>What was torn in memory that changed while it was read; nothing in memory that stands still.</summary>
    public TornReads Torn { get; init; }
}
