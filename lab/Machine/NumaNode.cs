using System.Globalization;

namespace Forengate.Lab.Machine;

/// <summary>A share of memory and CPUs. <paramref name="Cpus"/> is a range such as <c>0-3</c>, null for a node without any.</summary>
internal sealed record NumaNode(int Index, ulong Bytes, string? Cpus)
{
    /// <summary>Even shares in multiples of 2 MiB, the rest in the last node.</summary>
    public static IEnumerable<NumaNode> Split(BootPlan plan, int nodes)
    {
        var share = plan.MemorySize / (ulong)nodes >> 21 << 21;
        for (var node = 0; node < nodes; node++)
        {
            var first = plan.Cpus.Count * node / nodes;
            var last = plan.Cpus.Count * (node + 1) / nodes - 1;
            yield return new NumaNode(node, node == nodes - 1 ? plan.MemorySize - share * (ulong)node : share,
                last < first ? null : string.Create(CultureInfo.InvariantCulture, $"{first}-{last}"));
        }
    }
}
