namespace Forengate.Memory.Tests;

public sealed class AddressSpaceTests
{
    private const ulong P = PageTables.P;
    private const ulong W = PageTables.W;
    private const ulong U = PageTables.U;
    private const ulong NX = PageTableEntry.NoExecute;
    private const ulong Large = PageTableEntry.LargePage;
    private const ulong Size = 1UL << 40;

    [Theory]
    [InlineData(4, 0xFFFF_F801_2345_6000)]
    [InlineData(5, 0xFFFF_F801_2345_6000)]
    [InlineData(5, 0xFF12_3456_789A_B000)]
    [InlineData(4, 0x0000_7FFE_0000_3000)]
    [InlineData(5, 0x00FE_DCBA_9876_5000)]
    public void Small_pages_translate_at_four_and_five_levels(int levels, ulong address)
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory, levels);
        tables.Set(address, 1, 0x12_3456_7000 | P | W | NX);
        var translation = new AddressSpace(memory, tables.Top, levels).Translate(new VirtualAddress(address + 0xABC));
        Assert.True(translation.Ok);
        Assert.Equal(0x12_3456_7ABCUL, translation.Address.Value);
        Assert.Equal((4096UL, 1), (translation.PageSize, translation.Level));
        Assert.Equal((false, true, true), (translation.User, translation.Writable, translation.NoExecute));
    }

    [Theory]
    [InlineData(2, 0x20_0000UL)]
    [InlineData(3, 0x4000_0000UL)]
    public void Large_pages_translate_with_the_PAT_bit_left_out(int level, ulong size)
    {
        const ulong Pat = 1UL << 12;
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0xFFFF_F800_4000_0000, level, (7 * size) | Pat | Large | P | U, P | U);
        var translation = new AddressSpace(memory, tables.Top).Translate(new VirtualAddress(0xFFFF_F800_4000_0000 + size - 5));
        Assert.True(translation.Ok);
        Assert.Equal((8 * size) - 5, translation.Address.Value);
        Assert.Equal((size, level), (translation.PageSize, translation.Level));
        Assert.Equal((true, false), (translation.User, translation.Writable));
    }

    [Fact]
    public void PCID_and_flag_bits_of_the_table_base_do_not_matter()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0x1000, 1, 0x5000 | P);
        foreach (var flags in new[] { 0UL, 2UL, 0xFFFUL, 1UL << 63, (1UL << 63) | 0x801 })
        {
            var space = new AddressSpace(memory, tables.Top | flags);
            Assert.Equal(tables.Top, space.DirectoryTableBase.Value);
            Assert.Equal(0x5123UL, space.Translate(new VirtualAddress(0x1123)).Address.Value);
        }
    }

    [Theory]
    [InlineData(4, 0x0000_8000_0000_0000)]
    [InlineData(4, 0xFFFF_7FFF_FFFF_F000)]
    [InlineData(5, 0x0100_0000_0000_0000)]
    [InlineData(5, 0xFEFF_FFFF_FFFF_FFFF)]
    public void Addresses_that_are_not_canonical_say_so(int levels, ulong address)
    {
        var memory = TestMemory.OfSize(Size);
        var translation = new AddressSpace(memory, new PageTables(memory, levels).Top, levels).Translate(new VirtualAddress(address));
        Assert.Equal(TranslationFault.NotCanonical, translation.Fault);
    }

    [Fact]
    public void Faults_say_where_and_why()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0x0000_1000_0000_0000, 1, 0x5000 | P);
        tables.Set(0x0000_1000_0000_1000, 1, 0xBEEF_F000);
        tables.Set(0x0000_1100_0000_0000, 2, 0x77_7777_7000 | P);
        tables.Set(0x0000_1200_0000_0000, 4, 0x6000 | Large | P);
        tables.Set(0x0000_1300_0000_0000, 2, 0x20_2000 | Large | P);
        tables.Set(0x0000_1400_0000_0000, 3, 0x4020_0000 | Large | P);
        var space = new AddressSpace(memory, tables.Top);
        AssertFault(0x0000_1000_0000_1234, TranslationFault.NotPresent, 1, 0xBEEF_F000);
        AssertFault(0x0000_1000_0020_0000, TranslationFault.NotPresent, 2, 0);
        AssertFault(0x0000_1000_4000_0000, TranslationFault.NotPresent, 3, 0);
        AssertFault(0x0000_1800_0000_0000, TranslationFault.NotPresent, 4, 0);
        AssertFault(0x0000_1100_0000_3000, TranslationFault.TableMissing, 1, 0);
        AssertFault(0x0000_1200_0000_0000, TranslationFault.Malformed, 4, 0x6000 | Large | P);
        AssertFault(0x0000_1300_0000_0000, TranslationFault.Malformed, 2, 0x20_2000 | Large | P);
        AssertFault(0x0000_1400_0000_0000, TranslationFault.Malformed, 3, 0x4020_0000 | Large | P);

        void AssertFault(ulong address, TranslationFault fault, int level, ulong entry)
        {
            var translation = space.Translate(new VirtualAddress(address));
            Assert.Equal((fault, level, entry), (translation.Fault, translation.Level, translation.Entry));
        }
    }

    [Fact]
    public void Reads_go_over_pages_and_stop_at_the_first_that_leads_nowhere()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0x40_0000, 1, 0x9000 | P);
        tables.Set(0x40_1000, 1, 0x3000 | P);
        tables.Set(0x40_3000, 1, 0x4000 | P);
        memory.PageAt(0x9000).AsSpan().Fill(1);
        memory.PageAt(0x3000).AsSpan().Fill(2);
        memory.PageAt(0x4000).AsSpan().Fill(3);
        var space = new AddressSpace(memory, tables.Top);
        var bytes = new byte[0x4000];
        Assert.Equal(0x1800, space.Read(new VirtualAddress(0x40_0800), bytes));
        Assert.All(bytes[..0x800], value => Assert.Equal(1, value));
        Assert.All(bytes[0x800..0x1800], value => Assert.Equal(2, value));
        Assert.False(space.TryRead(new VirtualAddress(0x40_1FFC), out ulong _));
        Assert.True(space.TryRead(new VirtualAddress(0x40_1FF8), out ulong two));
        Assert.Equal(0x0202020202020202UL, two);
    }

    [Fact]
    public void A_read_does_not_go_round_the_end_of_the_address_space()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0xFFFF_FFFF_FFFF_F000, 1, 0x9000 | P);
        tables.Set(0, 1, 0x3000 | P);
        memory.PageAt(0x9000);
        memory.PageAt(0x3000);
        Assert.Equal(16, new AddressSpace(memory, tables.Top).Read(new VirtualAddress(0xFFFF_FFFF_FFFF_FFF0), new byte[64]));
    }

    [Theory]
    [InlineData(4, false)]
    [InlineData(4, true)]
    [InlineData(5, false)]
    public void A_batch_gives_what_one_by_one_gives_and_reads_each_table_once(int levels, bool maps)
    {
        var random = new Random(levels);
        var memory = TestMemory.OfSize(Size, maps);
        var tables = new PageTables(memory, levels);
        var addresses = new List<VirtualAddress>();
        for (var i = 0; i < 600; i++)
        {
            var address = (ulong)random.NextInt64() & (levels == 5 ? 0x00FF_FFFF_FFFF_FFFFUL : 0x0000_7FFF_FFFF_FFFFUL);
            if (random.Next(2) == 0)
                address = ~address;
            if (i % 3 == 0)
                address = 0xFFFF_F800_0000_0000 + ((ulong)random.Next(2048) << 12);
            switch (random.Next(5))
            {
                case 0: tables.Set(address & ~0x1F_FFFFUL, 2, ((ulong)random.Next(1 << 10) << 21) | Large | P); break;
                case 1: tables.Set(address, 1, 0xABCD_0000); break;
                case 2 when i % 3 != 0: tables.Set(address, 2, 0x66_0000_0000 | ((ulong)i << 12) | P); break;
                default: tables.Set(address, 1, ((ulong)random.Next(1 << 24) << 12) | P | W); break;
            }
            addresses.Add(new VirtualAddress(address));
        }
        addresses.Add(new VirtualAddress(0x0180_0000_0000_0000));
        addresses.AddRange(addresses.ToArray());
        var space = new AddressSpace(memory, tables.Top, levels);
        var results = new Translation[addresses.Count];
        space.Translate(addresses.ToArray(), results);
        Assert.Equal(addresses.Select(space.Translate), results);
        Assert.Contains(results, result => result.Ok);
        Assert.Contains(results, result => result.Fault == TranslationFault.TableMissing);
        // Where memory maps, only the tables that are missing are asked for.
        Assert.InRange(memory.PagesRead, 1, maps ? 200 : 2500);
        Assert.InRange(memory.ReadPagesCalls, 1, 40);
    }

    [Fact]
    public void A_subclass_may_give_bytes_to_pages_that_are_not_valid()
    {
        var memory = TestMemory.OfSize(Size);
        var tables = new PageTables(memory);
        tables.Set(0x7000, 1, 0x9000 | 0x800);
        var space = new Transition(memory, tables.Top);
        Assert.Equal(0x9123UL, space.Translate(new VirtualAddress(0x7123)).Address.Value);
        var results = new Translation[1];
        space.Translate([new VirtualAddress(0x7123)], results);
        Assert.Equal(0x9123UL, results[0].Address.Value);
    }

    private sealed class Transition(PhysicalMemory memory, ulong table) : AddressSpace(memory, table)
    {
        protected override bool TryResolveNotPresent(VirtualAddress address, int level, ulong entry, out PhysicalAddress page)
        {
            page = new PhysicalAddress(entry & PageTableEntry.AddressMask);
            return level == 1 && (entry & 0xC01) == 0x800;
        }
    }
}

