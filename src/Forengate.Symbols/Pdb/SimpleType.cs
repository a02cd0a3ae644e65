namespace Forengate.Symbols;

/// <summary>Type numbers below 0x1000: a type of the language in the low byte, and in bits 8 to 10 whether it is a pointer to it (cvinfo.h, CV_prmode_e).</summary>
internal static class SimpleType
{
    private const int BaseMask = 0xFF;
    private const int ModeShift = 8;
    private const int ModeMask = 7;

    /// <summary>Bytes of a pointer by its mode; 0 is no pointer.</summary>
    private static ReadOnlySpan<byte> PointerSizes => [0, 2, 4, 4, 4, 6, 8, 16];

    public static TypeReference Of(uint index)
    {
        var type = BaseType.Of((int)index & BaseMask)?.Reference ?? TypeReference.Unknown;
        var size = PointerSizes[(int)(index >> ModeShift) & ModeMask];
        return size == 0 ? type : new TypeReference(TypeKind.Pointer, "", size, Element: type);
    }
}
