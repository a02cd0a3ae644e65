namespace Forengate.Memory;

/// <summary>What was written.</summary>
/// <param name="Bytes">Size of the output.</param>
/// <param name="Pages">Pages of memory written, those of zeros included.</param>
/// <param name="ZeroPages">Of them, pages known or found to be zero.</param>
/// <param name="Missing">Memory that the source has no bytes for: what the output has there instead is in <paramref name="Lost"/>.</param>
/// <param name="Lost">What the source holds and the target format can't, a line each: "debug registers", "page states ballooned and excluded became zeros", …</param>
public sealed record ImageWriteResult(ulong Bytes, ulong Pages, ulong ZeroPages, IReadOnlyList<PhysicalRange> Missing, IReadOnlyList<string> Lost);
