using System.Buffers;

namespace Forengate.Memory;

public partial class AddressSpace
{
    private const int TranslateBatch = 1024;
    private const int TableBatch = 256;

    /// <summary>
    /// Walks the tables for many addresses at once, level by level: the tables of one level are read in one batch, each once. For memory that maps without a copy this is no faster
    /// than one by one; for a live source it saves a round trip an entry.
    /// </summary>
    /// <param name="addresses">In any order, repeats allowed.</param>
    /// <param name="results">One an address, in the same order.</param>
    public void Translate(ReadOnlySpan<VirtualAddress> addresses, Span<Translation> results)
    {
        if (results.Length < addresses.Length)
            throw new ArgumentException($"{addresses.Length} addresses need as many results, not {results.Length}", nameof(results));
        for (var start = 0; start < addresses.Length; start += TranslateBatch)
        {
            var count = Math.Min(TranslateBatch, addresses.Length - start);
            TranslateSome(addresses.Slice(start, count), results.Slice(start, count));
        }
    }

    private void TranslateSome(ReadOnlySpan<VirtualAddress> addresses, Span<Translation> results)
    {
        var walks = new Walk[addresses.Length];
        var pending = new List<int>(addresses.Length);
        for (var i = 0; i < addresses.Length; i++)
        {
            walks[i] = new Walk(DirectoryTableBase);
            if (addresses[i].IsCanonical(Levels))
                pending.Add(i);
            else
                results[i] = new Translation(TranslationFault.NotCanonical, default, Page.Size, 0, 0, false, false, false);
        }

        var unmapped = new List<int>();
        for (var level = Levels; pending.Count != 0; level--)
        {
            pending.Sort((left, right) => walks[left].Table.CompareTo(walks[right].Table));
            unmapped.Clear();
            var goesOn = new List<int>(pending.Count);
            foreach (var i in pending)
            {
                var size = PagingShape.EntrySize(Levels);
                var mapped = Memory.Map(walks[i].Table + PagingShape.EntryOffset(addresses[i], level, Levels), size);
                if (mapped.Length < size)
                    unmapped.Add(i);
                else if (!Step(addresses[i], level, EntryIn(mapped), ref walks[i], out results[i]))
                    goesOn.Add(i);
            }
            StepUnmapped(addresses, results, walks, unmapped, level, goesOn);
            pending = goesOn;
        }
    }

    /// <summary>Follows entries whose tables must be read; <paramref name="waiting"/> is sorted by table.</summary>
    private void StepUnmapped(ReadOnlySpan<VirtualAddress> addresses, Span<Translation> results, Walk[] walks, List<int> waiting, int level, List<int> goesOn)
    {
        if (waiting.Count == 0)
            return;
        var tables = new PhysicalAddress[TableBatch];
        var states = new PageState[TableBatch];
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Min(waiting.Count, TableBatch) * Page.Size);
        try
        {
            for (var first = 0; first < waiting.Count;)
            {
                var (count, last) = (0, first);
                for (; last < waiting.Count; last++)
                {
                    var table = walks[waiting[last]].Table;
                    if (count != 0 && tables[count - 1] == table)
                        continue;
                    if (count == TableBatch)
                        break;
                    tables[count++] = table;
                }

                var bytes = buffer.AsSpan(0, count * Page.Size);
                Memory.ReadPages(tables.AsSpan(0, count), bytes, states.AsSpan(0, count));
                var current = 0;
                for (; first < last; first++)
                {
                    var i = waiting[first];
                    while (tables[current] != walks[i].Table)
                        current++;
                    if (states[current] is not (PageState.Present or PageState.Zero))
                    {
                        results[i] = TableMissing(walks[i].Table, level);
                        continue;
                    }
                    var at = (current * Page.Size) + walks[i].Table.PageOffset + (int)PagingShape.EntryOffset(addresses[i], level, Levels);
                    if (!Step(addresses[i], level, EntryIn(bytes[at..]), ref walks[i], out results[i]))
                        goesOn.Add(i);
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
