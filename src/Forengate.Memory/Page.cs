namespace Forengate.Memory;

/// <summary>The page of x86 and x64 memory: the unit that views are made of.</summary>
public static class Page
{
    public const int Size = 4096;
    public const int Shift = 12;
    public const ulong OffsetMask = Size - 1;
}
