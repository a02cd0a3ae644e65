namespace Forengate.Guests;

/// <summary>What a stretch of a file is that guest RAM lies in.</summary>
internal enum BackendPart
{
    /// <summary>Data that is not in memory (swapped out, on a disk), or nobody knows.</summary>
    Elsewhere,

    /// <summary>Data in memory.</summary>
    InMemory,

    /// <summary>No data: it reads as zeros.</summary>
    Hole,
}
