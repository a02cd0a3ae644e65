namespace Forengate.Memory;

/// <summary>What a user may say about an image that is written.</summary>
public sealed record ImageWriteOptions
{
    public static ImageWriteOptions Default { get; } = new();

    /// <summary>Threads that pack pages; 0: one a core.</summary>
    public int Threads { get; init; }
}
