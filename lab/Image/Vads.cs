using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>The tree of a process's address ranges. The twin knows private ranges only: a root with a child to either side.</summary>
internal sealed class Vads(KernelTables tables, AddressSpace space, KernelPool pool)
{
    /// <summary>Writes three nodes, sorted by address, and returns the root's; the middle one is the root.</summary>
    public ulong Build(IReadOnlyList<(ulong Start, ulong End)> ranges, ulong parentOfRoot)
    {
        var sorted = ranges.OrderBy(r => r.Start).ToArray();
        var nodes = sorted.Select(_ => pool.Allocate("VadS", tables.SizeOf("_MMVAD_SHORT"))).ToArray();
        for (var i = 0; i < sorted.Length; i++)
        {
            var node = new StructWriter(tables, "_MMVAD_SHORT", nodes[i]);
            var (left, right) = i == 1 ? (nodes[0], nodes[2]) : (0UL, 0UL);
            var parent = i == 1 ? parentOfRoot : nodes[1];
            var (first, last) = (sorted[i].Start >> 12, (sorted[i].End - 1) >> 12);
            if (node.Has("LeftChild"))
            {
                node.Set("LeftChild", left).Set("RightChild", right).Set("u1.Parent", parent).Set("StartingVpn", first).Set("EndingVpn", last);
                node.Set("u.VadFlags.Protection", 4).Set("u.VadFlags.PrivateMemory", 1).Set("u.VadFlags.CommitCharge", last - first + 1);
            }
            else
            {
                node.Set("VadNode.Left", left).Set("VadNode.Right", right).Set("VadNode.ParentValue", parent);
                node.Set("StartingVpn", (uint)first).Set("EndingVpn", (uint)last).Set("StartingVpnHigh", first >> 32).Set("EndingVpnHigh", last >> 32);
                node.Set("u.VadFlags.Protection", 4).Set("u.VadFlags.PrivateMemory", 1);
            }
            node.Store(space);
        }
        return nodes[1];
    }
}
