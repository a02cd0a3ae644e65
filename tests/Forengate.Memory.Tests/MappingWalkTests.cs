namespace Forengate.Memory.Tests;

public sealed class MappingWalkTests
{
    private const ulong P = PageTables.P;
    private const ulong W = PageTables.W;
    private const ulong Large = PageTableEntry.LargePage;
    private const ulong Size = 1UL << 32;

    private static readonly VirtualAddress Lowest = new(0);
    private static readonly VirtualAddress Highest = new(ulong.MaxValue);

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public void Finds_every_mapping_that_translation_finds_in_order(int levels)
    {
        var random = new Random(11);
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory, levels);
        var expected = new SortedDictionary<ulong, ulong>();
        for (var i = 0; i < 300; i++)
        {
            var large = random.Next(4) == 0;
            var address = ((ulong)random.Next(512) << 39) | ((ulong)random.Next(4) << 30) | ((ulong)random.Next(512) << 21);
            if (levels == 5)
                address |= (ulong)random.Next(512) << 48;
            address = Canonical(address, levels);
            if (expected.ContainsKey(address))
                continue;
            var size = large ? 0x20_0000UL : 0x1000UL;
            tables.Set(address, large ? 2 : 1, ((ulong)random.Next(64) * size) | (large ? Large : 0) | P);
            expected.Add(address, size);
        }
        var space = new AddressSpace(memory, tables.Top, levels);
        var found = space.Mappings(Lowest, Highest).ToList();
        Assert.Equal(expected.Select(pair => (pair.Key, pair.Value)), found.Select(mapping => (mapping.Address.Value, mapping.Size)));
        Assert.All(found, mapping => Assert.Equal(space.Translate(mapping.Address).Address, mapping.Physical));

        var (first, last) = (found[40].Address + 5, found[200].Address);
        Assert.Equal(found[40..201], space.Mappings(first, last).ToList());
        Assert.Equal(found[41..200], space.Mappings(found[40].Address + found[40].Size, last - 1).ToList());
        Assert.Empty(space.Mappings(last, first));
    }

    [Fact]
    public void Flags_are_those_of_all_levels()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0x1000, 1, 0x5000 | P | W | PageTables.U, P | W);
        tables.Set(0x2000, 1, 0x5000 | P | PageTableEntry.NoExecute);
        var found = new AddressSpace(memory, tables.Top).Mappings(Lowest, Highest).ToList();
        Assert.Equal([(false, true, false), (false, false, true)], found.Select(mapping => (mapping.User, mapping.Writable, mapping.NoExecute)));
    }

    [Fact]
    public void A_self_map_is_not_entered()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0xFFFF_F800_0000_0000, 1, 0x5000 | P);
        memory.WriteEntry(tables.Top, 0x1ED, tables.Top | P | W);
        var walk = new AddressSpace(memory, tables.Top).Mappings(Lowest, Highest);
        Assert.Equal(0xFFFF_F800_0000_0000, Assert.Single(walk).Address.Value);
        Assert.Equal((1, 4, false), (walk.LoopsSkipped, walk.TablesRead, walk.BudgetExhausted));
    }

    [Fact]
    public void A_table_full_of_itself_ends_at_once()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        for (var i = 0; i < 512; i++)
            memory.WriteEntry(tables.Top, i, tables.Top | P | W);
        var walk = new AddressSpace(memory, tables.Top).Mappings(Lowest, Highest);
        Assert.Empty(walk);
        Assert.Equal(512, walk.LoopsSkipped);
    }

    [Fact]
    public void Tables_shared_512_fold_end_at_the_budget()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        var (second, third, fourth) = (tables.NewTable(), tables.NewTable(), tables.NewTable());
        for (var i = 0; i < 512; i++)
        {
            memory.WriteEntry(tables.Top, i, second | P);
            memory.WriteEntry(second, i, third | P);
            memory.WriteEntry(third, i, fourth | P);
        }
        memory.WriteEntry(fourth, 9, 0x5000 | P);
        var walk = new AddressSpace(memory, tables.Top).Mappings(Lowest, Highest, tableBudget: 1000);
        var count = walk.Count();
        Assert.InRange(count, 900, 1000);
        Assert.Equal((1000, true), (walk.TablesRead, walk.BudgetExhausted));
    }

    [Fact]
    public void Missing_tables_and_malformed_entries_are_skipped_and_counted()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0x4000_0000, 2, 0xFFFF_F000 | P);
        tables.Set(0x4020_0000, 2, 0x20_2000 | Large | P);
        tables.Set(0x4040_0000, 2, 0x20_0000 | Large | P);
        var walk = new AddressSpace(memory, tables.Top).Mappings(Lowest, Highest);
        Assert.Equal(0x4040_0000UL, Assert.Single(walk).Address.Value);
        Assert.Equal((1, 1), (walk.TablesMissing, walk.Malformed));
        Assert.Empty(new AddressSpace(memory, 0xFFFF_0000).Mappings(Lowest, Highest));
    }

    [Fact]
    public void Random_tables_never_hang_or_throw()
    {
        for (var seed = 0; seed < 30; seed++)
        {
            var random = new Random(seed);
            var memory = TestMemory.OfSize(64 * Page.Size);
            for (ulong page = 0; page < 64; page++)
            {
                random.NextBytes(memory.PageAt(page << 12));
                for (var slot = 0; slot < 512; slot += 1 + random.Next(4))
                    memory.WriteEntry(page << 12, slot, ((ulong)random.Next(80) << 12) + (ulong)random.Next(256));
            }
            var space = new AddressSpace(memory, (ulong)random.Next(64) << 12, 4 + (seed & 1));
            var walk = space.Mappings(Lowest, Highest, tableBudget: 500);
            var previous = 0UL;
            foreach (var mapping in walk)
            {
                Assert.True(mapping.Address.Value >= previous);
                previous = mapping.Address.Value;
                Assert.Equal(mapping.Physical, space.Translate(mapping.Address).Address);
            }
            Assert.InRange(walk.TablesRead, 1, 500);
        }
    }

    private static ulong Canonical(ulong address, int levels)
    {
        var unused = levels == 5 ? 7 : 16;
        return (ulong)((long)(address << unused) >> unused);
    }
}
