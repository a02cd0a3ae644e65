namespace Forengate.Memory.Tests;

/// <summary>32-bit and PAE tables: what QEMU is not asked about.</summary>
public sealed class NarrowPagingTests
{
    private const ulong P = PageTableEntry.Present;
    private const ulong Large = PageTableEntry.LargePage;

    [Fact]
    public void Reserved_bits_are_faults()
    {
        Assert.True(PageTableEntry.IsMalformed(P | PageTableEntry.Writable, 3, 3));
        Assert.False(PageTableEntry.IsMalformed(P | 0x8, 3, 3));
        Assert.True(PageTableEntry.IsMalformed(P | Large | (1UL << 21), 2, 2));
        Assert.False(PageTableEntry.IsMalformed(P | Large | (1UL << 20), 2, 2));
        Assert.True(PageTableEntry.IsMalformed(P | Large | (1UL << 20), 2, 3));
    }

    [Fact]
    public void A_PDPTE_of_PAE_has_no_permissions()
    {
        var memory = TestMemory.OfSize(1 << 30);
        memory.PageAt(0x1000);
        memory.PageAt(0x2000);
        memory.PageAt(0x3000);
        memory.WriteEntry(0x1000, 0, 0x2000 | P);
        memory.WriteEntry(0x2000, 0, 0x3000 | P | PageTableEntry.Writable | PageTableEntry.User);
        memory.WriteEntry(0x3000, 5, 0x9000 | P | PageTableEntry.Writable | PageTableEntry.User);
        var translation = new AddressSpace(memory, 0x1000 | 0xFUL, 3).Translate(new VirtualAddress(0x5123));
        Assert.Equal((0x9123UL, true, true), (translation.Address.Value, translation.User, translation.Writable));
    }

    [Fact]
    public void A_4_MiB_page_reaches_40_bits()
    {
        var memory = TestMemory.OfSize(1UL << 40);
        memory.PageAt(0x1000);
        memory.WriteEntry(0x1000, 0, ((0x0040_0000UL | (0xFFUL << 13) | Large | P) << 32) | 0);
        var translation = new AddressSpace(memory, 0x1000, 2).Translate(new VirtualAddress(0x40_0000 + 0x12345));
        Assert.Equal(0xFF_0041_2345UL, translation.Address.Value);
        Assert.Equal(4UL << 20, translation.PageSize);
    }

    [Theory, InlineData(2), InlineData(3)]
    public void A_batch_gives_what_one_by_one_gives_on_hostile_tables(int levels)
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var memory = TestMemory.OfSize(1 << 20, maps: seed % 2 == 0);
            for (var page = 0UL; page < 32; page++)
            {
                var bytes = memory.PageAt(page << 12);
                random.NextBytes(bytes);
                for (var i = 0; i < bytes.Length; i += levels == 2 ? 4 : 8)
                    (bytes[i + 1], bytes[i + 2], bytes[i + 3]) = ((byte)(random.Next(16) << 4), (byte)(random.Next(8) == 0 ? 255 : random.Next(2)), 0);
            }
            var space = new AddressSpace(memory, (ulong)random.Next(32) << 12, levels);
            var addresses = Enumerable.Range(0, 500).Select(_ => new VirtualAddress((uint)random.NextInt64())).ToArray();
            var results = new Translation[addresses.Length];
            space.Translate(addresses, results);
            Assert.Equal(addresses.Select(space.Translate), results);
            var last = -1L;
            foreach (var mapping in space.Mappings(new VirtualAddress(0), new VirtualAddress(uint.MaxValue), 500).Take(5000))
            {
                Assert.True((long)mapping.Address.Value > last);
                last = (long)mapping.Address.Value;
                Assert.Equal(mapping.Physical, space.Translate(mapping.Address).Address);
            }
        }
    }
}
