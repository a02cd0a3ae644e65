namespace Forengate.Memory;

/// <summary>Which blocks make up a machine's RAM without its memory devices, in the order of their addresses, and how that is known.</summary>
/// <param name="Blocks">From address 0 on.</param>
/// <param name="Others">Backends that are not among them: memory devices'.</param>
/// <param name="How">How it is known, for people; null where a name says it.</param>
internal sealed record MainRam(IReadOnlyList<MigrationBlock> Blocks, IReadOnlyList<MigrationBlock> Others, string? How)
{
    /// <summary>The SRAT leaves out 640 KiB to 1 MiB, which is RAM of node 0's all the same.</summary>
    private const ulong LegacyHole = 0x6_0000;

    public ulong Size => Blocks.Aggregate(0UL, (sum, block) => sum + block.Length);

    /// <param name="candidates">All blocks that are RAM or memory devices'.</param>
    /// <param name="acpi">QEMU's tables, where the stream has them.</param>
    public static MainRam Find(IReadOnlyList<MigrationBlock> candidates, AcpiTables? acpi)
    {
        var named = candidates.Where(block => BlockNames.RoleOf(block.Name) == BlockRole.Main).ToList();
        if (named.Find(block => BlockNames.NodeOf(block.Name) is null) is { } whole)
            return new MainRam([whole], [.. candidates.Where(block => block != whole)], null);
        var nodes = NodeSizes(acpi);
        if (nodes.Count != 0 && MatchNodes(candidates, nodes) is { } matched)
            return new MainRam(matched, [.. candidates.Except(matched)], "NUMA nodes by their sizes in QEMU's ACPI tables (SRAT)");
        if (named.Count != 0)
        {
            named.Sort((left, right) => BlockNames.NodeOf(left.Name)!.Value.CompareTo(BlockNames.NodeOf(right.Name)!.Value));
            return new MainRam(named, [.. candidates.Except(named)], "NUMA nodes in the order of their numbers");
        }
        return candidates.Count == 0
            ? new MainRam([], [], null)
            : new MainRam([candidates[0]], [.. candidates.Skip(1)], candidates.Count == 1 ? "the only block of RAM" : "assumed: the largest block is RAM, the others are memory devices");
    }

    private static List<(uint Node, ulong Size)> NodeSizes(AcpiTables? acpi)
    {
        var sizes = new List<(uint Node, ulong Size)>();
        foreach (var memory in acpi?.Memory ?? [])
        {
            if (memory.IsHotplug)
                continue;
            var length = memory.Start == 1 << 20 ? memory.Length + LegacyHole : memory.Length;
            var at = sizes.FindIndex(node => node.Node == memory.Node);
            if (at < 0)
                sizes.Add((memory.Node, length));
            else
                sizes[at] = (memory.Node, sizes[at].Size + length);
        }
        return sizes;
    }

    /// <summary>A block for each node that has memory; a block named after the node before one that is not, else in the stream's order. Null where one has none.</summary>
    private static List<MigrationBlock>? MatchNodes(IReadOnlyList<MigrationBlock> candidates, List<(uint Node, ulong Size)> nodes)
    {
        var result = new List<MigrationBlock>();
        foreach (var (node, size) in nodes)
        {
            var fitting = candidates.Where(block => block.Length == size && !result.Contains(block));
            var block = fitting.FirstOrDefault(block => BlockNames.NodeOf(block.Name) == node)
                ?? fitting.FirstOrDefault(block => BlockNames.NodeOf(block.Name) is { } other ? !nodes.Exists(entry => entry.Node == other && entry.Size == size) : true);
            if (block is null)
                return null;
            result.Add(block);
        }
        return result;
    }
}
