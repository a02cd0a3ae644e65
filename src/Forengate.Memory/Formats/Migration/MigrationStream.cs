namespace Forengate.Memory;

/// <summary>What a migration stream was found to hold.</summary>
internal sealed class MigrationStream
{
    /// <summary>Machine type out of the configuration section ("pc-q35-7.2"); null where there is none.</summary>
    public string? Machine { get; set; }

    /// <summary>Capabilities that the stream names: only those it can't be read without.</summary>
    public List<string> Capabilities { get; } = [];

    /// <summary>The guest's uuid, where the stream has it.</summary>
    public Guid? Uuid { get; set; }

    public List<MigrationBlock> Blocks { get; } = [];

    public List<PageDelta> Deltas { get; } = [];

    /// <summary>Devices whose state was kept: CPUs, and what tells of memory.</summary>
    public List<DeviceSection> Devices { get; } = [];

    public DeviceDescriptions? Descriptions { get; set; }

    /// <summary>RAM came to its end: every page that the stream should have is there.</summary>
    public bool RamEnded { get; set; }

    /// <summary>The stream came to its end.</summary>
    public bool Ended { get; set; }

    /// <summary>RAM was described: without it nothing can be read.</summary>
    public bool HasRam => Blocks.Count != 0;

    /// <summary>The ram sections' bodies, as they were gone through: from, to.</summary>
    public List<(long From, long To)> RamParts { get; } = [];

    public List<string> Damage { get; } = [];

    public List<string> Remarks { get; } = [];

    /// <summary>Adds a line to <see cref="Damage"/>; what the stream put into it can't end the line or command a terminal.</summary>
    public void AddDamage(string what) => Damage.Add(Printable(what));

    /// <summary>Text of the stream's with a question mark for each control character.</summary>
    public static string Printable(string text) => text.Any(char.IsControl) ? string.Concat(text.Select(character => char.IsControl(character) ? '?' : character)) : text;

    /// <summary>Pages that came compressed.</summary>
    public long DeflatedPages { get; set; }

    /// <summary>Kinds of page records that were met, for people.</summary>
    public string Packing => (DeflatedPages != 0, Deltas.Count != 0) switch
    {
        (true, true) => "zlib, xbzrle",
        (true, false) => "zlib",
        (false, true) => "xbzrle",
        _ => "none",
    };
}
