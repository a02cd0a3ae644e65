namespace Forengate.Memory;

/// <summary>What the container of a migration stream knows of it.</summary>
internal sealed record MigrationSource
{
    /// <summary>What the user pointed at.</summary>
    public required string Target { get; init; }

    /// <summary>Name of the image's format, for people.</summary>
    public required string Format { get; init; }

    /// <summary>The program that made the image, where the container tells; null: QEMU.</summary>
    public string? Producer { get; init; }

    /// <summary>Size of the file, in bytes.</summary>
    public ulong? FileBytes { get; init; }

    /// <summary>How the container packs the stream; null: by no more than the stream itself does.</summary>
    public string? Packing { get; init; }

    public string? GuestName { get; init; }

    public string? DomainXml { get; init; }

    public DateTimeOffset? TakenAt { get; init; }

    /// <summary>Blocks whose place is known from elsewhere.</summary>
    public IReadOnlyList<KnownPlace> Places { get; init; } = [];

    /// <summary>Where all of RAM lies, by the word of the QEMU that sends the stream; empty: it follows from the stream.</summary>
    public IReadOnlyList<RamPart> Parts { get; init; } = [];

    public IReadOnlyList<string> Remarks { get; init; } = [];

    public IReadOnlyList<string> Damage { get; init; } = [];
}
