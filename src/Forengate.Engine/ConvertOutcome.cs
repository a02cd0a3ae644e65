using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>What a conversion did.</summary>
public sealed record ConvertOutcome
{
    /// <summary>The file's path, or <c>-</c> for standard output.</summary>
    public required string Path { get; init; }

    /// <summary>Name of the format written.</summary>
    public required string Format { get; init; }

    /// <summary>Where the memory came from; of a live guest with how long it stood still.</summary>
    public required ViewOrigin Source { get; init; }

    public required Consistency Consistency { get; init; }

    /// <summary>Size of the output.</summary>
    public required ulong Bytes { get; init; }

    /// <summary>Pages of memory written, those of zeros included.</summary>
    public required ulong Pages { get; init; }

    /// <summary>Of them, pages of zeros.</summary>
    public required ulong ZeroPages { get; init; }

    /// <summary>Memory that the source has no bytes for.</summary>
    public required IReadOnlyList<PhysicalRange> Missing { get; init; }

    /// <summary>What the source holds and the target format can't, a line each.</summary>
    public required IReadOnlyList<string> Lost { get; init; }

    /// <summary>Why the output is less than it should be, a line each: damage of the source, pages that could not be read, a live guest that was continued by others.</summary>
    public required IReadOnlyList<string> Incomplete { get; init; }

    public required TimeSpan Duration { get; init; }
}
