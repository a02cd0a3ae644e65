using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>The present pages of a kernel's half, those among which images lie first: for searches that know no address.</summary>
internal static class KernelMappings
{
    /// <summary>The slot of the top table in which the images of all public x64 Windows versions lie (four levels).</summary>
    private static readonly VirtualAddress s_firstImage = new(0xFFFF_F800_0000_0000);
    private static readonly VirtualAddress s_lastImage = new(0xFFFF_F87F_FFFF_FFFF);

    public static IEnumerable<PageMapping> Of(AddressSpace space, SearchBudget budget, CancellationToken ct)
    {
        var images = space.Mappings(s_firstImage, s_lastImage, budget.Tables);
        foreach (var mapping in Counted(images, budget, ct))
            yield return mapping;
        if (budget.Tables == 0)
            yield break;
        var kernelHalf = new VirtualAddress(ulong.MaxValue << (Page.Shift + (9 * space.Levels) - 1));
        foreach (var mapping in Counted(space.Mappings(kernelHalf, new VirtualAddress(ulong.MaxValue), budget.Tables), budget, ct))
        {
            if (mapping.Address < s_firstImage || mapping.Address > s_lastImage)
                yield return mapping;
        }
    }

    /// <summary>Takes the tables read off the budget, also where the caller stops early.</summary>
    private static IEnumerable<PageMapping> Counted(MappingWalk walk, SearchBudget budget, CancellationToken ct)
    {
        try
        {
            foreach (var mapping in walk)
            {
                ct.ThrowIfCancellationRequested();
                yield return mapping;
            }
        }
        finally
        {
            budget.TakeTables(walk.TablesRead);
        }
    }
}
