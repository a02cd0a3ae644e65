namespace Forengate.Memory.Tests.Kdump;

/// <summary>A view with a bit of everything: text, noise, zeros known and unknown, a long run of zeros, and pages of every state.</summary>
internal static class KdumpSource
{
    public const ulong High = 0x10_0000;
    private const ulong LowPages = 1400, HighPages = 300;
    private const ulong ZerosFrom = 700, ZerosTo = 1300;

    public static ulong Readable => LowPages + HighPages - 6;

    /// <summary>Known ones, and every fiftieth page whose zeros nobody told of.</summary>
    public static ulong Zeros => ZerosTo - ZerosFrom + (700 / 50) + (100 / 50) + (300 / 50);

    public static IReadOnlyList<PhysicalRange> Missing =>
        [new(PhysicalAddress.FromFrame(101), 3 * Page.Size), new(PhysicalAddress.FromFrame(110), Page.Size), new(PhysicalAddress.FromFrame(High + 298), 2 * Page.Size)];

    /// <param name="lost">A frame that says it is present and can't be read.</param>
    public static View View(ulong? lost = null)
    {
        var memory = new TestMemory([new PhysicalRange(default, LowPages * Page.Size), new PhysicalRange(PhysicalAddress.FromFrame(High), HighPages * Page.Size)]);
        foreach (var frame in Frames())
        {
            if (frame is >= ZerosFrom and < ZerosTo)
                memory.SetState(frame << Page.Shift, PageState.Zero);
            else if (frame % 50 == 0)
                memory.PageAt(frame << Page.Shift);
            else
                memory.Write(frame << Page.Shift, frame % 7 == 0 ? KdumpBuilder.Noise((int)frame) : KdumpBuilder.Text((int)frame));
        }
        foreach (var (frame, state) in new (ulong, PageState)[]
            {
                (101, PageState.Ballooned), (102, PageState.Missing), (103, PageState.Excluded), (110, PageState.Missing), (High + 298, PageState.Excluded), (High + 299, PageState.Ballooned),
            })
            memory.SetState(frame << Page.Shift, state);
        return new View(
            lost is null ? memory : new Lossy(memory, lost.Value), [CpuSamples.Full(0, 1), CpuSamples.Full(1, 2)], new Consistency(ConsistencyLevel.Smeared, "made up"),
            new ViewOrigin { Target = "sample", Format = "sample", TakenAt = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000) });
    }

    private static IEnumerable<ulong> Frames()
    {
        for (var frame = 0UL; frame < LowPages; frame++)
            yield return frame;
        for (var frame = High; frame < High + HighPages; frame++)
            yield return frame;
    }

    private sealed class Lossy(TestMemory memory, ulong lost) : PhysicalMemory
    {
        public override IReadOnlyList<PhysicalRange> Ranges => memory.Ranges;

        public override PageState StateOf(PhysicalAddress address) => memory.StateOf(address);

        public override int Read(PhysicalAddress address, Span<byte> destination)
        {
            var until = PhysicalAddress.FromFrame(lost);
            if (address.Frame == lost)
                return 0;
            return memory.Read(address, address < until && until - address < (ulong)destination.Length ? destination[..(int)(until - address)] : destination);
        }
    }
}
