namespace Forengate.Lab.Image;

/// <summary>Kernel addresses handed out page-wise (stacks, processor blocks, mapped views), with an unmapped guard page behind each.</summary>
internal sealed class SystemPtes(AddressSpace space, ulong start)
{
    private ulong _next = start;

    public ulong Start { get; } = start;

    public ulong Reserve(int pages)
    {
        var at = _next;
        _next += ((ulong)pages + 1) * GuestRam.PageSize;
        return at;
    }

    public ulong Allocate(int pages, ulong flags = Pte.KernelData)
    {
        var at = Reserve(pages);
        space.MapNew(at, pages, flags);
        return at;
    }
}
