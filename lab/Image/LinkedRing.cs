namespace Forengate.Lab.Image;

/// <summary>Doubly linked lists as Windows keeps them: a head and the entries' LIST_ENTRYs in one ring.</summary>
internal static class LinkedRing
{
    public static void Write(AddressSpace space, ulong head, IReadOnlyList<ulong> entries)
    {
        var previous = head;
        foreach (var entry in entries)
        {
            space.WriteU64(previous, entry);
            space.WriteU64(entry + 8, previous);
            previous = entry;
        }
        space.WriteU64(previous, head);
        space.WriteU64(head + 8, previous);
    }
}
