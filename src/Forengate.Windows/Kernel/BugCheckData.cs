namespace Forengate.Windows;

/// <summary>What <c>KiBugCheckData</c> says of a crash: the stop code (0xE2, say; never zero) and its four parameters.</summary>
public sealed record BugCheckData(uint Code, ulong Parameter1, ulong Parameter2, ulong Parameter3, ulong Parameter4);
