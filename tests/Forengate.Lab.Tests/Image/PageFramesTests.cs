using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Truth;

namespace Forengate.Lab.Tests.Image;

/// <summary>The page-frame database as a reader of guest memory sees it, against <c>pfn.bin</c> and against the page tables.</summary>
public sealed class PageFramesTests
{
    private const int Zeroed = 0, Free = 1, Standby = 2, Modified = 3, Bad = 5, Active = 6, Transition = 7, Location = 7;
    private const int User = 0x08, Table = 0x10, Large = 0x20, Unmapped = 0x40, None = 0xFF;
    private const ulong Frame = 0x000F_FFFF_FFFF_F000;

    public static TheoryData<string, bool, int, ulong> Kinds => new()
    {
        { "7601", true, 4, 0 }, { "9600", false, 4, 0 }, { "14393", true, 4, 0 }, { "17763", false, 4, 5 }, { "19041", true, 4, 0 }, { "20348", true, 5, 0 }, { "22000", true, 4, 6 },
    };

    [Theory, MemberData(nameof(Kinds))]
    public void Every_page_has_its_state_and_its_entry(string build, bool kvaShadow, int levels, ulong shuffle)
    {
        var (image, truth) = Make(build, kvaShadow, levels, shuffle);
        var (walker, states) = (new Walker(image.Plan), image.Frames.States);
        var reached = Reached(walker, truth);
        var pages = truth.Memory.Runs.SelectMany(r => Enumerable.Range((int)r.FirstPage.Value, (int)r.Pages).Select(p => (ulong)p)).ToArray();
        Assert.Equal(pages.Max() + 1, (ulong)states.Length);
        Assert.Equal(pages.Length, states.Count(s => s != None));
        Assert.Equal(pages.Length, truth.PageFrames.Pages.Values.Sum());
        var read = new EntryReader(walker, truth);
        foreach (var page in pages)
        {
            var state = states[page];
            Assert.NotEqual(None, state);
            Assert.Equal(state & Location, (int)read.Of(page, "u3", "e1", "PageLocation"));
            Assert.Equal(reached.Contains(page), (state & Location) == Active && (state & Unmapped) == 0);
            var (pte, frame) = (read.Of(page, "PteAddress"), read.Of(page, "u4", "PteFrame"));
            switch (state & Location)
            {
                case Active when (state & Unmapped) == 0:
                    Assert.True(read.Of(page, "u2", "ShareCount") > 0);
                    Assert.Equal(1UL, read.Of(page, "u3", "ReferenceCount"));
                    Assert.Equal(Active | Table, states[frame] & (Location | Table));
                    // The entry that maps the page, by way of the page that holds it: as Windows finds it itself.
                    var entry = walker.PhysicalU64(frame << 12 | pte & 0xFF8);
                    Assert.Equal(1UL, entry & 1);
                    Assert.InRange(page, (entry & Frame) >> 12, ((entry & Frame) >> 12) + ((state & Large) != 0 ? 511UL : 0));
                    if (!IsOfProcess(page, state, states, frame))
                        Assert.Equal<ulong?>(frame << 12 | pte & 0xFF8, walker.Walk(truth.Paging.SystemDtb.Value, pte));
                    break;
                case Active:
                    Assert.Equal(0UL, pte);
                    break;
                case Standby or Modified or Transition:
                    // In transition: not valid, bit 11, not prototype, the frame still there.
                    var gone = walker.PhysicalU64(frame << 12 | pte & 0xFF8);
                    Assert.Equal(1UL << 11, gone & (1 | 1 << 10 | 1 << 11));
                    Assert.Equal(page, (gone & Frame) >> 12);
                    Assert.Equal((state & Location) == Transition ? 1UL : 0, read.Of(page, "u3", "ReferenceCount"));
                    break;
                default:
                    Assert.Equal(0UL, read.Of(page, "u3", "ReferenceCount"));
                    break;
            }
        }
    }

    [Theory]
    [InlineData("7601")]
    [InlineData("20348")]
    public void Lists_of_pages_hold_what_they_should(string build)
    {
        var (image, truth) = Make(build, true, 4, 0);
        var (walker, states) = (new Walker(image.Plan), image.Frames.States);
        var read = new EntryReader(walker, truth);
        foreach (var (location, name) in new[] { (Zeroed, "zeroed"), (Free, "free"), (Standby, "standby"), (Modified, "modified"), (Bad, "bad") })
        {
            var all = Enumerable.Range(0, states.Length).Select(p => (ulong)p).Where(p => states[p] != None && (states[p] & Location) == location).ToHashSet();
            Assert.Equal(truth.PageFrames.Pages[name], all.Count);
            var end = read.Of(all.First(), "u1", "Flink", ones: true);
            var at = all.Single(p => read.Of(p, "u2", "Blink") == read.Of(all.First(), "u2", "Blink", ones: true));
            if (build == "7601" && location is not Bad)
                Assert.Equal(at, walker.U64(truth.Paging.SystemDtb.Value, truth.Global(Head(location)).Va.Value + 0x10));
            for (var before = end; ; (before, at) = (at, read.Of(at, "u1", "Flink")))
            {
                if (at == end)
                    break;
                Assert.True(all.Remove(at), $"page 0x{at:x} is not on the {name} list, or twice");
                Assert.Equal(before, read.Of(at, "u2", "Blink"));
            }
            Assert.Empty(all);
        }
    }

    [Fact]
    public void Pages_hold_what_their_state_says()
    {
        var (image, truth) = Make("19041", true, 4, 0, o => o with { FreePages = 30, StandbyPages = 20, ModifiedPages = 10, ZeroedPages = 5000 });
        var states = image.Frames.States;
        var walker = new Walker(image.Plan);
        Assert.Equal(30, truth.PageFrames.Pages["free"]);
        Assert.InRange(truth.PageFrames.Pages["standby"], 20, 2000);
        Assert.InRange(truth.PageFrames.Pages["modified"], 10, 200);
        Assert.Equal(5000, truth.PageFrames.Pages["zeroed"]);
        for (ulong page = 0; page < (ulong)states.Length; page++)
        {
            if (states[page] == Free)
                Assert.Equal("twin: free page "u8, Bytes(walker, page, 16));
            else if (states[page] == Zeroed)
                Assert.All(Enumerable.Range(0, 512), i => Assert.Equal(0UL, walker.PhysicalU64(page << 12 | (uint)i * 8)));
        }
        // All pages that are a user's only are in some process's lower half.
        var user = Enumerable.Range(0, states.Length).Count(p => states[p] != None && (states[p] & User) != 0);
        Assert.InRange(user, 50, states.Length);
    }

    [Fact]
    public void More_pages_than_there_are_cannot_be_had()
    {
        Assert.Contains("give the guest more memory", Assert.Throws<ImageException>(() => Twins.Make(Twins.Small("19041") with { StandbyPages = 1 << 20 })).Message);
    }

    private static (TwinImage, TruthDocument) Make(string build, bool kvaShadow, int levels, ulong shuffle, Func<TwinOptions, TwinOptions>? with = null)
    {
        var options = Twins.Small(build) with
        {
            KvaShadow = kvaShadow, Levels = levels, Shuffle = shuffle == 0 ? null : shuffle, MemorySize = 192 * TwinOptions.MiB, LowSize = 96 * TwinOptions.MiB, CpuCount = 3, CpuModes = CpuModes.Mixed, Note = true,
        };
        return Twins.Make(with?.Invoke(options) ?? options);
    }

    /// <summary>Pages that any process's own view leads to, tables included: a plain walk of everything.</summary>
    private static HashSet<ulong> Reached(Walker walker, TruthDocument truth)
    {
        var reached = new HashSet<ulong>();
        var ram = truth.Memory.Runs.Select(r => (First: r.FirstPage.Value, End: r.FirstPage.Value + r.Pages)).ToArray();
        var tables = new HashSet<ulong>();
        foreach (var root in truth.Processes.Select(p => p.Dtb.Value & Frame).Distinct())
            Table(root, truth.Paging.Levels);
        return reached;

        void Table(ulong at, int level)
        {
            if (!tables.Add(at))
                return;
            reached.Add(at >> 12);
            for (var slot = 0UL; slot < 512; slot++)
            {
                var entry = walker.PhysicalU64(at + slot * 8);
                if ((entry & 1) == 0)
                    continue;
                if (level > 1 && (entry & 0x80) == 0)
                    Table(entry & Frame, level - 1);
                else
                    reached.UnionWith(Enumerable.Range(0, level == 2 ? 512 : 1).Select(i => ((entry & Frame) >> 12) + (ulong)i).Where(p => ram.Any(r => p >= r.First && p < r.End)));
            }
        }
    }

    /// <summary>Whether a page is seen only through its own process's self-map.</summary>
    private static bool IsOfProcess(ulong page, byte state, byte[] states, ulong frame) => (state & (User | Table)) != 0 || (states[frame] & User) != 0 || page == frame;

    private static string Head(int location) => location switch { Zeroed => "MmZeroedPageListHead", Free => "MmFreePageListHead", Standby => "MmStandbyPageListHead", _ => "MmModifiedPageListHead" };

    private static byte[] Bytes(Walker walker, ulong page, int count) => [.. Enumerable.Range(0, count).Select(i => walker.Physical(page << 12 | (uint)i))];

    /// <summary>Reads fields of _MMPFN by the layouts of truth.json.</summary>
    private sealed class EntryReader(Walker walker, TruthDocument truth)
    {
        private readonly Dictionary<string, (int Offset, int Bit, int Bits)> _fields = [];

        public ulong Of(ulong page, string field) => Of(page, [field], false);

        public ulong Of(ulong page, string field, string second, bool ones = false) => Of(page, [field, second], ones);

        public ulong Of(ulong page, string field, string second, string third) => Of(page, [field, second, third], false);

        private ulong Of(ulong page, string[] path, bool ones)
        {
            var name = string.Join('.', path);
            if (!_fields.TryGetValue(name, out var place))
                _fields[name] = place = Find(path);
            var mask = place.Bits == 64 ? ulong.MaxValue : (1UL << place.Bits) - 1;
            if (ones)
                return mask;
            // No field lies across a page: each is within eight aligned bytes.
            var va = truth.PageFrames.Database.Value + page * (ulong)truth.PageFrames.EntrySize + (ulong)place.Offset;
            var pa = walker.Walk(truth.Paging.SystemDtb.Value, va & ~7UL)!.Value;
            return walker.PhysicalU64(pa) >> (int)(va & 7) * 8 + place.Bit & mask;
        }

        private (int, int, int) Find(string[] path)
        {
            var (type, offset, field) = ("_MMPFN", 0, default(TruthField));
            foreach (var name in path)
            {
                field = truth.Layouts[type!].Fields[name];
                offset += (int)field.Offset.Value;
                type = field.Type;
            }
            return (offset, field!.Bit ?? 0, field.Bits ?? (int)field.Size.Value * 8);
        }
    }
}
