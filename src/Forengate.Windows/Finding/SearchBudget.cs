namespace Forengate.Windows;

/// <summary>What one search for a kernel may still cost, whatever the memory makes it try.</summary>
internal sealed class SearchBudget(WindowsLimits limits)
{
    private int _walks = limits.ImageSearches;
    private int _tables = limits.PageTablesInAll;

    /// <summary>One walk down from an address; false where there have been enough.</summary>
    public bool TakeWalk() => _walks-- > 0;

    /// <summary>One page table read; false where there have been enough.</summary>
    public bool TakeTable() => _tables-- > 0;
}
