namespace Forengate.Memory;

/// <summary>LiME's and AVML's files: stretches of memory, each behind a header with its addresses. docs/formats/lime.md and avml.md have the layouts.</summary>
public sealed class LimeFormat : IImageFormat
{
    /// <summary>Damage that is told line by line; more of it is only counted.</summary>
    private const int DamageNamed = 8;

    private const int RangesBetweenCancellationChecks = 1 << 12;

    public string Name => "lime";

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => head.StartsWith("EMiL"u8) || head.StartsWith("AVML"u8);

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        var extents = new List<FileExtent>();
        var damage = new List<string>();
        var chunks = new SnappyChunks(file, options.Limits);
        var (offset, blocks) = (0UL, 0);
        var length = (ulong)file.Length;
        while (offset < length)
        {
            if (blocks++ % RangesBetweenCancellationChecks == 0)
            {
                cancellation.ThrowIfCancellationRequested();
                options.Progress?.Report(new ImageOpenProgress("indexing", (long)offset, file.Length));
            }
            if (length - offset < LimeHeader.Size)
            {
                damage.Add($"the file is cut off within a header, {length - offset} bytes behind offset 0x{offset:x}");
                break;
            }
            var header = LimeHeader.Parse(file.Span((long)offset, LimeHeader.Size));
            if (WhyNot(header, options.Limits) is { } reason)
            {
                if (offset == 0)
                    throw new ImageFormatException($"'{file.Path}' begins like LiME or AVML, but {reason}");
                damage.Add($"at file offset 0x{offset:x} {reason}: the 0x{length - offset:x} bytes from there on were not read");
                break;
            }
            if (extents.Count + chunks.Count >= options.Limits.Extents)
                throw new ImageFormatException($"'{file.Path}' holds memory in more than {options.Limits.Extents} pieces, which is beyond any machine");
            offset += LimeHeader.Size;
            var size = header.Last - header.Start + 1;
            if (header.Version == LimeHeader.SnappyVersion)
            {
                if (!chunks.AddBlock(new PhysicalAddress(header.Start), size, ref offset, damage, cancellation))
                    break;
            }
            else
            {
                extents.Add(FileExtent.Stored(new PhysicalAddress(header.Start), size, offset));
                offset = size > length - offset ? length : offset + size;
            }
        }
        return MakeView(file, options, extents, chunks, blocks, damage);
    }

    private static View MakeView(MappedFile file, ImageOpenOptions options, List<FileExtent> extents, SnappyChunks chunks, int blocks, List<string> damage)
    {
        var isAvml = file.Span(0, sizeof(uint)).StartsWith("AVML"u8);
        if (chunks.Count != 0)
            Snappy.Require();
        var plain = new FileMemory(file, extents.Concat(chunks.Missing));
        PhysicalMemory memory = chunks.Count == 0 ? plain : new SnappyMemory(plain, file, chunks.Sorted(), options.Limits);
        if (memory.Ranges.Count == 0)
        {
            throw new ImageFormatException(
                $"'{file.Path}' begins like {(isAvml ? "AVML" : "LiME")}, but holds not one whole page of memory" + (damage.Count == 0 ? "" : $": {damage[0]}"));
        }
        if (plain.MissingBytes != 0)
            damage.Add($"the file is cut off: 0x{plain.MissingBytes:x} of 0x{memory.Size:x} bytes of memory are missing");
        if (damage.Count > DamageNamed)
            damage = [.. damage[..DamageNamed], $"and {damage.Count - DamageNamed} more such faults"];
        return new View(
            memory, [], new Consistency(ConsistencyLevel.Unknown, "the format does not say how the memory was taken; LiME and AVML themselves copy a system that runs"),
            new ViewOrigin
            {
                Target = file.Path,
                Format = isAvml ? "AVML" : chunks.Count != 0 ? "LiME with compressed blocks of AVML" : "LiME",
                Producer = isAvml ? "AVML" : null,
                Packing = chunks.Count == 0 ? "none" : extents.Count == 0 ? "snappy" : "snappy, none",
                FileBytes = (ulong)file.Length,
                Remarks = [$"memory in {blocks} blocks; the format holds no registers"],
                Damage = damage,
            });
    }

    /// <summary>What is wrong with a header, as the middle of a sentence; null when nothing is.</summary>
    private static string? WhyNot(in LimeHeader header, ImageLimits limits)
    {
        if (header.Magic is not (LimeHeader.LimeMagic or LimeHeader.AvmlMagic))
            return $"there is no header of a memory range (0x{header.Magic:x8})";
        var known = header.Magic == LimeHeader.LimeMagic ? header.Version == LimeHeader.PlainVersion : header.Version is LimeHeader.PlainVersion or LimeHeader.SnappyVersion;
        if (!known)
            return $"the header is of version {header.Version}, which is not known";
        return header.Last < header.Start || header.Last >= limits.AddressSpace
            ? $"the header's range 0x{header.Start:x} to 0x{header.Last:x} is no possible memory"
            : null;
    }
}
