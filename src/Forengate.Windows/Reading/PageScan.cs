using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>One pass over all pages that have bytes and are not known to be zero, on all cores.</summary>
internal static class PageScan
{
    /// <summary>Looks at one page. Called on several threads at once.</summary>
    public delegate void Visitor(PhysicalAddress page, ReadOnlySpan<byte> bytes);

    /// <param name="memory">Where.</param>
    /// <param name="visit">Called for each page.</param>
    /// <param name="ct">Ends the pass by an <see cref="OperationCanceledException"/>.</param>
    /// <param name="progress">Told the share of memory done, 0 to 1.</param>
    public static void Run(PhysicalMemory memory, Visitor visit, CancellationToken ct, IProgress<double>? progress = null) =>
        new MemoryPass { Pages = new Pages(visit), Progress = progress is null ? null : new Share(progress) }.Run(memory, ct);

    private sealed class Pages(Visitor visit) : IPageVisitor
    {
        public void Visit(PhysicalAddress page, ReadOnlySpan<byte> bytes) => visit(page, bytes);
    }

    private sealed class Share(IProgress<double> progress) : IProgress<MemoryPassProgress>
    {
        public void Report(MemoryPassProgress value) => progress.Report(value.Total == 0 ? 1 : (double)value.Done / value.Total);
    }
}
