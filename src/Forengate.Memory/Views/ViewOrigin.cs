namespace Forengate.Memory;

/// <summary>Where a view came from.</summary>
public sealed record ViewOrigin
{
    /// <summary>What the user pointed at: a path, <c>libvirt:NAME</c>, <c>qmp:SOCKET</c>, <c>pid:N</c>.</summary>
    public required string Target { get; init; }

    /// <summary>Name of the image format, or "live guest".</summary>
    public required string Format { get; init; }

    /// <summary>The program that made the image, where the format tells.</summary>
    public string? Producer { get; init; }

    /// <summary>When the memory was taken, where known.</summary>
    public DateTimeOffset? TakenAt { get; init; }

    /// <summary>How long the guest stood still for it: null where unknown or where nothing was stopped by us.</summary>
    public TimeSpan? StoodStill { get; init; }

    /// <summary>Of a guest that ran while it was read: how much changed meanwhile. Known when the view is disposed; null for all other views.</summary>
    public SmearScore? Smear { get; init; }

    /// <summary>What we made the hypervisor do, in order ("stop", "cont", …), for the record.</summary>
    public IReadOnlyList<string> Actions { get; init; } = [];

    /// <summary>Facts worth telling that are not errors: a truncated file, a tainted domain, a range left out.</summary>
    public IReadOnlyList<string> Remarks { get; init; } = [];

    /// <summary>What is damaged or cut off, a line each: the view is read as far as it goes and is not whole. Empty for a sound image.</summary>
    public IReadOnlyList<string> Damage { get; init; } = [];

    /// <summary>The guest's processor architecture, where the source tells; null is no statement.</summary>
    public GuestArchitecture? Architecture { get; init; }

    /// <summary>
    /// True where the source keeps the CPUs' registers of its instant in the guest's own memory, as the guest's system (or whoever made the image) put them there for debuggers: a crash
    /// dump. False: what memory holds of registers is of an earlier moment.
    /// </summary>
    public bool KeepsRegistersInMemory { get; init; }

    /// <summary>RAM blocks by the hypervisor's names, where the source tells.</summary>
    public IReadOnlyList<RamBlock> Blocks { get; init; } = [];

    /// <summary>The hypervisor's machine type ("pc-q35-7.2"), where the source tells.</summary>
    public string? Machine { get; init; }

    /// <summary>The guest's name, where the source tells.</summary>
    public string? GuestName { get; init; }

    /// <summary>libvirt's description of the domain, as the image carries it; hostile text like all of it.</summary>
    public string? DomainXml { get; init; }

    /// <summary>How the image's pages are packed ("zlib", "none", …); null where the source is no file.</summary>
    public string? Packing { get; init; }

    /// <summary>Size of the image's file or files, in bytes; null where the source is no file.</summary>
    public ulong? FileBytes { get; init; }
}
