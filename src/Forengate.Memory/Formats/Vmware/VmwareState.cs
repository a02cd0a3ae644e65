using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>What a VMware state file (.vmss, .vmsn) says of memory and CPUs: groups of tags. docs/formats/vmware.md has the layout.</summary>
internal sealed class VmwareState
{
    public const uint OldMagic = 0xBED0_BED0;

    private const uint Magic = 0xBED2_BED2;
    private const uint PartialMagic = 0xBED3_BED3;
    private const uint RestoredMagic = 0xBAD1_BAD1;
    private const uint NoRestoreMagic = 0xBAD2_BAD2;

    private const int GroupCountAt = 8;
    private const int GroupsAt = 12;
    private const int GroupSize = 80;
    private const int GroupNameSize = 64;

    private const int TagsBetweenCancellationChecks = 1 << 14;

    private readonly SortedDictionary<long, Region> _regions = [];
    private ulong _regionCount;
    private int _tags;

    private VmwareState(MappedFile file, ImageLimits limits) => Cpus = new VmwareCpus(file, limits);

    public VmwareCpus Cpus { get; }

    /// <summary>The block that holds the memory; null where a file of its own does.</summary>
    public VmwareTag? Memory { get; private set; }

    public List<string> Damage { get; } = [];

    /// <summary>True for every state file, of a form that is read or not.</summary>
    public static bool IsState(ReadOnlySpan<byte> head) =>
        head.Length >= sizeof(uint) && BinaryPrimitives.ReadUInt32LittleEndian(head) is OldMagic or Magic or PartialMagic or RestoredMagic or NoRestoreMagic;

    /// <exception cref="ImageFormatException">It is of a form that is not read.</exception>
    public static VmwareState Read(MappedFile file, ImageLimits limits, CancellationToken cancellation)
    {
        if (!file.TryRead(GroupCountAt, out uint groups))
            throw new ImageFormatException($"'{file.Path}' is a VMware state file cut off within its header");
        if (file.TryRead(0, out uint magic) && magic == OldMagic)
            throw new ImageFormatException($"'{file.Path}' is a state file of a VMware of before 2006, with 32-bit sizes, which is not read");
        if (groups > (uint)limits.Blocks)
            throw new ImageFormatException($"'{file.Path}' claims {groups} groups of state, which is beyond any VMware state file");
        var state = new VmwareState(file, limits);
        for (uint i = 0; i < groups; i++)
        {
            var group = file.Span(GroupsAt + (i * (long)GroupSize), GroupSize);
            if (group.Length < GroupSize)
            {
                state.Damage.Add($"the state file is cut off within its list of groups: {i} of {groups} are there");
                break;
            }
            var name = group[..GroupNameSize];
            name = name[..(name.IndexOf((byte)0) is >= 0 and var end ? end : GroupNameSize)];
            if (name.SequenceEqual("memory"u8) || name.SequenceEqual("cpu"u8))
                state.Walk(file, BinaryPrimitives.ReadUInt64LittleEndian(group[GroupNameSize..]), name[0] == (byte)'m', limits, cancellation);
        }
        return state;
    }

    /// <summary>Where the memory lies: guest-physical extents by offset into the memory's bytes. Without regions it is one stretch from 0.</summary>
    /// <param name="length">Bytes of memory that are stored, where nothing else says how much there is.</param>
    /// <param name="start">File offset of the first.</param>
    /// <param name="limits">What is believed.</param>
    public IReadOnlyList<FileExtent> Extents(ulong length, ulong start, ImageLimits limits)
    {
        if (_regionCount == 0)
            return [FileExtent.Stored(default, Math.Min(length, limits.AddressSpace), start)];
        var extents = new List<FileExtent>();
        foreach (var (number, region) in _regions)
        {
            if ((ulong)number >= _regionCount)
                continue;
            if (region is not { GuestPage: { } guest, FilePage: { } file, Pages: { } pages }
                || pages == 0 || guest >= limits.AddressSpace >> Page.Shift || pages > (limits.AddressSpace >> Page.Shift) - guest)
            {
                Damage.Add($"region {number} of memory has no sensible place");
                continue;
            }
            extents.Add(FileExtent.Stored(PhysicalAddress.FromFrame(guest), pages << Page.Shift, unchecked(start + (file << Page.Shift))));
        }
        if ((ulong)extents.Count < _regionCount)
            Damage.Add($"{extents.Count} of {_regionCount} regions of memory are described");
        return extents;
    }

    private void Walk(MappedFile file, ulong offset, bool isMemory, ImageLimits limits, CancellationToken cancellation)
    {
        bool isCutOff;
        while (VmwareTag.TryTake(file, ref offset, out var tag, out isCutOff))
        {
            if (++_tags % TagsBetweenCancellationChecks == 0)
                cancellation.ThrowIfCancellationRequested();
            if (_tags > limits.Extents)
                throw new ImageFormatException($"'{file.Path}' holds more than {limits.Extents} items of state, which is beyond any VMware state file");
            if (isMemory)
                AddMemory(file, tag, limits);
            else
                Cpus.Add(tag);
        }
        if (isCutOff)
            Damage.Add($"the state file is cut off or broken within its group '{(isMemory ? "memory" : "cpu")}', near offset 0x{offset:x}");
    }

    private void AddMemory(MappedFile file, in VmwareTag tag, ImageLimits limits)
    {
        if (tag is { IsBlock: true, Name: "Memory" })
            Memory ??= tag;
        if (!tag.TryRead(file, out var value))
            return;
        if (tag.Name == "regionsCount")
            _regionCount = Math.Min(value, (ulong)limits.Blocks);
        else if (tag.Index0 >= 0 && tag.Index0 < limits.Blocks && tag.Name is "regionPPN" or "regionPageNum" or "regionSize")
        {
            var region = _regions.GetValueOrDefault(tag.Index0);
            _regions[tag.Index0] = tag.Name switch
            {
                "regionPPN" => region with { GuestPage = value },
                "regionPageNum" => region with { FilePage = value },
                _ => region with { Pages = value },
            };
        }
    }

    /// <summary>A stretch of memory: where it lies in the guest and in the memory's bytes, and how long it is, in pages.</summary>
    private readonly record struct Region(ulong? GuestPage, ulong? FilePage, ulong? Pages);
}
