namespace Forengate.Memory;

/// <summary>Neighbouring pages of one state.</summary>
/// <param name="Range">On page boundaries, never empty.</param>
/// <param name="State">What the view knows of each of its pages.</param>
public readonly record struct PageRun(PhysicalRange Range, PageState State)
{
    /// <summary>True when the pages give bytes: their own, or the zeros they are known to hold.</summary>
    public bool IsReadable => State is PageState.Present or PageState.Zero;
}
