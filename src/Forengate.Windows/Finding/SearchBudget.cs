namespace Forengate.Windows;

/// <summary>What one search may still cost, whatever the memory makes it try.</summary>
internal sealed class SearchBudget(WindowsLimits limits)
{
    private int _walks = limits.ImageSearches;
    private int _tablesInAll = limits.PageTablesInAll;

    /// <summary>Page tables the next walk over mappings may look into.</summary>
    public int Tables => Math.Min(limits.PageTables, _tablesInAll);

    /// <summary>One walk down from an address; false where there have been enough.</summary>
    public bool TakeWalk() => _walks-- > 0;

    public void TakeTables(int count) => _tablesInAll = Math.Max(0, _tablesInAll - count);
}
