using Forengate.Lab.Image;

namespace Forengate.Lab.Tables;

/// <summary>
/// Makes a kernel nobody has seen out of one that is known: fields lie elsewhere within their structures, globals some pages further, by a seed. Sizes and alignments stay; what overlaps (unions, bit fields in one
/// unit) moves together; a structure in a structure moves with its members, and these within it, the same wherever it is used. <see cref="FixedLayouts"/> says what stays.
/// </summary>
internal sealed class LayoutShuffle(ulong seed)
{
    private const int MostAttempts = 200;
    private const int WidestAlignment = 8;
    /// <summary>Globals move in whole pages, so that what is page-aligned stays so.</summary>
    private const uint Page = 0x1000;
    private const uint LargePage = 0x200000;
    private const int Gaps = 48, LargestGap = 8;
    /// <summary>Structures that a processor wants at a multiple of 16 (FXSAVE, CMPXCHG16B).</summary>
    private static readonly HashSet<string> _aligned16 = ["_CONTEXT", "_KPROCESSOR_STATE", "_XSAVE_FORMAT", "_M128A", "_SLIST_HEADER", "_HANDLE_TABLE_ENTRY"];

    /// <summary>Bytes that move together, and the fields in them.</summary>
    private sealed record Block(int Start, int Size, int Alignment, bool Stays, IReadOnlyList<KernelField> Fields);

    public static KernelTables Apply(KernelTables tables, ulong seed)
    {
        var shuffle = new LayoutShuffle(seed);
        return tables.Changed(BuildDisguise.Of(tables.Build, seed), shuffle.Move, shuffle.MoveSymbols(tables));
    }

    /// <summary>A structure with its fields moved: the same for the same seed, whatever other structures there are.</summary>
    public KernelType Move(KernelType type)
    {
        if (FixedLayouts.Stays(type.Name))
            return type;
        var random = new SeededRandom(Mix(type.Name));
        var blocks = Blocks(type);
        for (var attempt = 0; attempt < MostAttempts; attempt++)
        {
            if (Place(type, blocks, random) is not { } starts)
                continue;
            var fields = new Dictionary<string, KernelField>(type.Fields, StringComparer.Ordinal);
            for (var i = 0; i < blocks.Count; i++)
            {
                foreach (var field in blocks[i].Fields)
                    fields[field.Name] = field with { Offset = field.Offset - blocks[i].Start + starts[i] };
            }
            return type with { Fields = fields };
        }
        // Too tight for chance: such a structure stays as it is.
        return type;
    }

    private static List<Block> Blocks(KernelType type)
    {
        var blocks = new List<Block>();
        foreach (var field in type.Fields.Values.Where(f => f.Size > 0 && f.Offset + f.Size <= type.Size).OrderBy(f => f.Offset).ThenBy(f => f.Name, StringComparer.Ordinal))
        {
            var (end, alignment, stays) = (field.Offset + field.Size, Alignment(field), FixedLayouts.Stays(type.Name, field.Name));
            if (blocks.Count > 0 && blocks[^1] is var last && field.Offset < last.Start + last.Size)
                blocks[^1] = last with { Size = Math.Max(last.Start + last.Size, end) - last.Start, Alignment = Math.Max(last.Alignment, alignment), Stays = last.Stays || stays, Fields = [.. last.Fields, field] };
            else
                blocks.Add(new Block(field.Offset, field.Size, alignment, stays, [field]));
        }
        return blocks;
    }

    /// <summary>What a field needs: its own size for numbers and arrays of them, and of a structure no less than the place it has.</summary>
    private static int Alignment(KernelField field)
    {
        if (field.Type is not null && _aligned16.Contains(field.Type))
            return 16;
        var wanted = field.Type is null ? field.Size / field.Count : field.Offset | WidestAlignment;
        return Math.Min(WidestAlignment, Math.Min(wanted & -wanted, (field.Offset | WidestAlignment) & -(field.Offset | WidestAlignment)));
    }

    /// <summary>Puts each block at a free place that chance picks, the largest first; null where one finds none.</summary>
    private static int[]? Place(KernelType type, List<Block> blocks, SeededRandom random)
    {
        var taken = new bool[type.Size];
        var starts = new int[blocks.Count];
        for (var i = 0; i < blocks.Count; i++)
        {
            if (blocks[i].Stays)
                Take(i, blocks[i].Start);
        }
        var order = Enumerable.Range(0, blocks.Count).Where(i => !blocks[i].Stays).ToArray();
        random.Shuffle<int>(order);
        var free = new List<int>();
        foreach (var i in order.OrderByDescending(i => blocks[i].Size))
        {
            var block = blocks[i];
            free.Clear();
            var since = 0;
            for (var end = 1; end <= type.Size; end++)
            {
                if (taken[end - 1])
                    since = end;
                else if (end - since >= block.Size && (end - block.Size - block.Start) % block.Alignment == 0)
                    free.Add(end - block.Size);
            }
            if (free.Count == 0)
                return null;
            Take(i, random.Pick(free));
        }
        return starts;

        void Take(int i, int start)
        {
            starts[i] = start;
            taken.AsSpan(start, blocks[i].Size).Fill(true);
        }
    }

    /// <summary>
    /// Puts gaps of some pages between globals. Their order stays, so that each lies in its section still; where data begins at a large page of its own, all of it moves by whole large pages, and constants before the
    /// code not at all.
    /// </summary>
    private Func<uint, uint> MoveSymbols(KernelTables tables)
    {
        var random = new SeededRandom(Mix("globals"));
        var data = tables.Symbol("KdDebuggerDataBlock") & ~(LargePage - 1);
        var (first, split) = KernelImage.DataComesLast(tables) ? (LargePage, data) : (Page, uint.MaxValue);
        var gaps = new (uint At, uint Pages)[Gaps];
        for (var i = 0; i < gaps.Length; i++)
            gaps[i] = (first + (uint)random.Next(tables.LastSymbol - first) & ~(Page - 1), (uint)random.Next(1, LargestGap + 1));
        return rva =>
        {
            uint Sum(uint from, uint to) => (uint)gaps.Where(g => g.At >= from && g.At <= to).Sum(g => (long)g.Pages) * Page;
            return rva < split ? rva + Sum(0, rva) : rva + ((Sum(0, split - 1) + LargePage - 1) & ~(LargePage - 1)) + Sum(split, rva);
        };
    }

    /// <summary>FNV-1a of a name, with the seed.</summary>
    private ulong Mix(string name)
    {
        var hash = 0xCBF29CE484222325 ^ seed * 0x9E3779B97F4A7C15;
        foreach (var letter in name)
            hash = (hash ^ letter) * 0x100000001B3;
        return hash;
    }
}
