namespace Forengate.Memory;

/// <summary>What a view knows of one guest-physical page. Five different things, never to be mixed up.</summary>
public enum PageState : byte
{
    /// <summary>The guest may have memory there, or not: the view has no bytes for it.</summary>
    Missing = 0,

    /// <summary>The view holds the page's bytes.</summary>
    Present,

    /// <summary>The page is known to hold only zeros; the view may store nothing for it. Reads give zeros.</summary>
    Zero,

    /// <summary>The guest gave the page back to the host: it has no content.</summary>
    Ballooned,

    /// <summary>The page existed and was left out on purpose (a filtered dump, a user's request).</summary>
    Excluded,
}
