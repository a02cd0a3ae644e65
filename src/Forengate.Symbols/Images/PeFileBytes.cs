namespace Forengate.Symbols;

/// <summary>An image file seen as if it were loaded: RVAs are translated by its sections, what the file does not hold of a section reads as zero.</summary>
/// <param name="file">The whole file.</param>
/// <param name="image">Its headers.</param>
public sealed class PeFileBytes(ReadOnlyMemory<byte> file, PeImage image) : IImageBytes
{
    /// <inheritdoc/>
    public bool TryRead(uint rva, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            if (rva >= image.SizeOfImage || !TryPlace(rva, out var offset, out var inFile, out var inMemory))
                return false;
            var take = (int)Math.Min((uint)destination.Length, inMemory);
            var copied = offset >= (uint)file.Length ? 0 : (int)Math.Min(Math.Min((uint)take, inFile), (uint)file.Length - offset);
            file.Span.Slice(copied == 0 ? 0 : (int)offset, copied).CopyTo(destination);
            // What the headers say is in the file and is not, is missing; only what lies behind it is zero.
            if (copied < Math.Min((uint)take, inFile))
                return false;
            destination[copied..take].Clear();
            destination = destination[take..];
            rva = unchecked(rva + (uint)take);
        }
        return true;
    }

    private bool TryPlace(uint rva, out uint offset, out uint inFile, out uint inMemory)
    {
        if (rva < image.SizeOfHeaders)
        {
            (offset, inFile, inMemory) = (rva, image.SizeOfHeaders - rva, image.SizeOfHeaders - rva);
            return true;
        }
        (offset, inFile, inMemory) = (0, 0, 0);
        if (image.SectionAt(rva) is not { } section)
            return false;
        var inside = rva - section.VirtualAddress;
        var span = section.VirtualSize == 0 ? section.RawSize : section.VirtualSize;
        if (inside >= span)
            return false;
        offset = unchecked(section.RawOffset + inside);
        inFile = offset < section.RawOffset || inside >= section.RawSize ? 0 : section.RawSize - inside;
        inMemory = span - inside;
        return true;
    }
}
