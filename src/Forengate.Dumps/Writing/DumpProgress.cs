namespace Forengate.Dumps;

/// <summary>How far a dump is.</summary>
/// <param name="BytesDone">Of the file's size; zero pages count as done though nothing is stored for them.</param>
/// <param name="BytesTotal">The file's size.</param>
/// <param name="BytesPerSecond">Since the start.</param>
/// <param name="TimeLeft">At that rate; null before there is one.</param>
public readonly record struct DumpProgress(ulong BytesDone, ulong BytesTotal, double BytesPerSecond, TimeSpan? TimeLeft);
