namespace Forengate.Memory;

/// <summary>How a part of a mapped file is going to be read (madvise(2)).</summary>
public enum MappedFileAdvice
{
    Normal = 0,

    /// <summary>Page walks and list walks: no read-ahead.</summary>
    Random = 1,

    /// <summary>One pass from front to back: read far ahead, drop behind.</summary>
    Sequential = 2,

    /// <summary>Start reading now, return at once.</summary>
    WillNeed = 3,

    /// <summary>Not wanted again soon: the process' page tables let go of it.</summary>
    DontNeed = 4,

    /// <summary>Read it and fill the page tables before returning (Linux 5.14; ignored by older kernels).</summary>
    Populate = 22,
}
