namespace Forengate.Lab.Image;

/// <summary>Pages that the guest's code writes to without pause while it is told to, so that memory which is not of one instant shows.</summary>
/// <param name="Va">Kernel address of the first.</param>
/// <param name="Runs">Where they lie, in their order: runs here and there, below and above the hole.</param>
internal sealed record HotArea(ulong Va, IReadOnlyList<PhysicalRun> Runs)
{
    private const int LargestRun = 256;

    public static HotArea? Reserve(AddressSpace space, SystemPtes ptes, int pages)
    {
        if (pages == 0)
            return null;
        var va = ptes.Reserve(pages);
        var runs = new List<PhysicalRun>();
        for (var done = 0; done < pages; done += LargestRun)
        {
            var count = Math.Min(LargestRun, pages - done);
            var pa = space.Memory.AllocateRun(count);
            for (var i = 0UL; i < (ulong)count; i++)
                space.Map(va + ((ulong)done + i) * GuestRam.PageSize, pa + i * GuestRam.PageSize, Pte.KernelData);
            runs.Add(new PhysicalRun(pa / GuestRam.PageSize, (ulong)count));
        }
        return new HotArea(va, runs);
    }
}
