using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Collects patches at virtual addresses as pieces at physical ones: what is contiguous to Windows need not be so in memory.</summary>
internal sealed class PatchList(AddressSpace space)
{
    private readonly List<DumpPatch> _patches = [];

    public IReadOnlyList<DumpPatch> Patches => _patches;

    /// <summary>Adds all of it, or nothing where any byte leads to no memory.</summary>
    public bool TryAdd(VirtualAddress address, ReadOnlyMemory<byte> bytes, string reason)
    {
        var pieces = new List<DumpPatch>();
        for (var done = 0; done < bytes.Length;)
        {
            var here = address + (ulong)done;
            var translation = space.Translate(here);
            if (!translation.Ok)
                return false;
            var length = Math.Min(bytes.Length - done, Page.Size - here.PageOffset);
            if (!space.Memory.TryRead(translation.Address, out byte _))
                return false;
            pieces.Add(new DumpPatch(translation.Address, bytes.Slice(done, length), reason));
            done += length;
        }
        _patches.AddRange(pieces);
        return true;
    }
}
