namespace Forengate.Memory.Tests;

public sealed class PageSetTests
{
    [Fact]
    public void ItIsASetOfFrames()
    {
        var random = new Random(5);
        for (var round = 0; round < 50; round++)
        {
            var frames = (ulong)random.Next(1, 400);
            var (set, other) = (new PageSet(frames), new PageSet(frames));
            var (truth, otherTruth) = (new HashSet<ulong>(), new HashSet<ulong>());
            for (var i = 0; i < 6; i++)
            {
                var (first, count) = ((ulong)random.Next(0, 450), (ulong)random.Next(0, 200));
                set.Add(first, count);
                for (var frame = first; frame < Math.Min(frames, first + count); frame++)
                    truth.Add(frame);
                var one = (ulong)random.Next(0, 450);
                Assert.Equal(one < frames && otherTruth.Add(one), other.Add(one));
            }
            Assert.Equal((ulong)truth.Count, set.Count);
            for (var frame = 0UL; frame < 500; frame++)
            {
                Assert.Equal(truth.Contains(frame), set.Contains(frame));
                var most = (ulong)random.Next(1, 300);
                var alike = 1UL;
                while (alike < most && truth.Contains(frame + alike) == truth.Contains(frame))
                    alike++;
                Assert.Equal(alike, set.AlikeFrom(frame, most));
            }
            set.Add(other);
            truth.UnionWith(otherTruth);
            Assert.Equal((ulong)truth.Count, set.Count);
            set.Remove(other);
            truth.ExceptWith(otherTruth);
            Assert.Equal((ulong)truth.Count, set.Count);
        }
    }

    [Fact]
    public void FramesBeyondItAreNone()
    {
        var set = new PageSet(10);
        Assert.False(set.Add(10));
        set.Add(ulong.MaxValue - 3, 20);
        set.Add(8, ulong.MaxValue);
        Assert.Equal(2UL, set.Count);
    }
}
