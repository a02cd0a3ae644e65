namespace Forengate.Symbols;

/// <summary>The bytes of an image as it lies loaded. Any page may be gone: discarded, paged out, never read.</summary>
public interface IImageBytes
{
    /// <summary>Reads bytes, all of them or none.</summary>
    /// <param name="rva">Distance from the image's base.</param>
    /// <param name="destination">What to fill; may cross pages.</param>
    /// <returns>False where any of the bytes is not there. Never throws for a bad address.</returns>
    bool TryRead(uint rva, Span<byte> destination);
}
