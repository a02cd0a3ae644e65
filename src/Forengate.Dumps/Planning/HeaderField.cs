namespace Forengate.Dumps;

/// <summary>One field of a dump's header, with the source of its value.</summary>
/// <param name="Name">As in DUMP_HEADER64 (<c>mindumpdef.h</c>).</param>
/// <param name="Offset">In the header, in bytes.</param>
/// <param name="Value">Printable; null where the truth is not known and the format's filler was left.</param>
/// <param name="Source">Where the value comes from; for an unknown one: why it is unknown.</param>
public sealed record HeaderField(string Name, int Offset, string? Value, string Source);
