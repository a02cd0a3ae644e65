namespace Forengate.Dumps;

/// <summary>What the dump says of one processor.</summary>
/// <param name="Number">Windows' number.</param>
/// <param name="CpuIndex">The hypervisor's number of the vCPU whose registers were written; null where none was matched.</param>
/// <param name="MatchedBy">How the two were matched, or why not.</param>
/// <param name="Written">What was written, in words: "CONTEXT at 0x…", "SpecialRegisters at 0x…".</param>
public sealed record DumpedProcessor(int Number, int? CpuIndex, string MatchedBy, IReadOnlyList<string> Written);
