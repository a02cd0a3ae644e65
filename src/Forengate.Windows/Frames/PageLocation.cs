namespace Forengate.Windows;

/// <summary>Where a page is in its life: the values of <c>_MMLISTS</c>, which are the same in the public type tables of every x64 kernel from 7601 to 22000.</summary>
public enum PageLocation : byte
{
    /// <summary>On the list of pages that hold zeros and belong to nobody.</summary>
    Zeroed = 0,

    /// <summary>Belongs to nobody and holds what it held before.</summary>
    Free = 1,

    /// <summary>In no working set and unchanged: disk has what it holds.</summary>
    Standby = 2,

    /// <summary>In no working set, and not on disk yet.</summary>
    Modified = 3,

    /// <summary>As <see cref="Modified"/>, and not to be written to disk for now.</summary>
    ModifiedNoWrite = 4,

    /// <summary>Broken memory.</summary>
    Bad = 5,

    /// <summary>In use.</summary>
    Active = 6,

    /// <summary>On no list: on its way from or to disk.</summary>
    Transition = 7,

    /// <summary>Its entry could not be read, or is no entry.</summary>
    Unknown = 0xFF,
}
