namespace Forengate.Memory;

/// <summary>Counts what the index of one image takes, and refuses more than the limits allow.</summary>
/// <param name="limit">Bytes, <see cref="ImageLimits.IndexBytes"/>.</param>
internal sealed class IndexBudget(long limit)
{
    public long Used { get; private set; }

    /// <exception cref="ImageFormatException">It would be more than the limit.</exception>
    public void Take(long bytes)
    {
        Used += bytes;
        if (Used > limit)
        {
            throw new ImageFormatException(
                $"the index of this migration stream needs more than {limit >> 20} MiB, the bound set for it: its pages are too scattered; dump the guest as an ELF core instead (virsh dump --memory-only)");
        }
    }

    public void Give(long bytes) => Used -= bytes;
}
