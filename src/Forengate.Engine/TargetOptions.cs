namespace Forengate.Engine;

/// <summary>How a live guest is read.</summary>
public enum CaptureChoice
{
    /// <summary>The best way there is for the purpose.</summary>
    Auto,

    /// <summary>QEMU's background snapshot: the guest stands still for milliseconds. Refused where it can't be had.</summary>
    Snapshot,

    /// <summary>The guest stands still while it is read or copied.</summary>
    Stop,

    /// <summary>The guest runs on; what is read may be torn, and is labelled so.</summary>
    Live,
}

/// <summary>What the user may say about a target beside its name.</summary>
public sealed record TargetOptions
{
    /// <summary>libvirt connection URI; null for libvirt's default.</summary>
    public string? ConnectUri { get; init; }

    /// <summary>Image format to read a file as; null to tell by content.</summary>
    public string? Format { get; init; }

    /// <summary>Placement of a raw image's bytes; null for flat.</summary>
    public string? Ranges { get; init; }

    /// <summary>RAM below 4 GiB of a raw image without its hole, as a size ("3G"); null for no hole.</summary>
    public string? LowMemory { get; init; }

    /// <summary>Folder for indexes that are worth keeping and for spooled memory, made where it is not there; null to keep nothing.</summary>
    public string? CacheFolder { get; init; }

    /// <summary>Symbol files or folders of them that are asked before the carried profiles: PDB, ISF (plain, xz, zst), profile packs.</summary>
    public IReadOnlyList<string> Symbols { get; init; } = [];

    /// <summary>Folder of the local store (<see cref="Symbols.LocalStore"/>), asked behind <see cref="Symbols"/> and before the carried profiles; null for none.</summary>
    public string? StoreFolder { get; init; }

    /// <summary>Files of public keys (PEM): with any of them, or any in the store's <c>trusted</c> folder, packs count only when signed by one.</summary>
    public IReadOnlyList<string> TrustedKeys { get; init; } = [];

    /// <summary>Symbol servers that may be asked for what no other source has: paths as in _NT_SYMBOL_PATH. Empty: no network is used.</summary>
    public IReadOnlyList<string> SymbolServers { get; init; } = [];

    /// <summary>The proxy for symbol servers: an address, "none", or null for the environment's.</summary>
    public string? Proxy { get; init; }

    public CaptureChoice Consistency { get; init; }

    /// <summary>By whose hand a guest of libvirt's is read.</summary>
    public Guests.CaptureMeans Means { get; init; }

    /// <summary>Refuse a way that is expected to keep a running guest standing longer; null for no limit.</summary>
    public TimeSpan? MaxPause { get; init; }

    /// <summary>Folder on a disk for the part of a guest's copy that the host has no memory for; null for the output's, or /var/tmp.</summary>
    public string? SpillFolder { get; init; }

    /// <summary>A copy under way is finished when the program is told to end (<see cref="Guests.CaptureOptions.GoesOnThroughSignals"/>).</summary>
    internal bool GoesOnThroughSignals { get; init; }
}
