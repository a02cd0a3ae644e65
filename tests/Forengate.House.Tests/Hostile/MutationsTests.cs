using Forengate.Testing.Hostile;

namespace Forengate.House.Tests.Hostile;

public sealed class MutationsTests
{
    private static readonly byte[] Good = [.. Enumerable.Range(0, 0x3000).Select(i => (byte)(i * 7))];

    [Fact]
    public void The_same_seed_spoils_in_the_same_way()
    {
        var once = Mutations.Of(Good, 5, 200).ToList();
        var again = Mutations.Of(Good, 5, 200).ToList();
        Assert.Equal(once.Select(mutation => mutation.Description), again.Select(mutation => mutation.Description));
        Assert.All(once.Zip(again), pair => Assert.Equal(pair.First.Bytes, pair.Second.Bytes));
        Assert.Equal(once[123].Bytes, Mutations.At(Good, 5, 123).Bytes);
    }

    [Fact]
    public void Another_seed_spoils_in_another_way() =>
        Assert.NotEqual(Mutations.Of(Good, 5, 50).Select(mutation => mutation.Description), Mutations.Of(Good, 6, 50).Select(mutation => mutation.Description));

    [Fact]
    public void Every_kind_of_fault_comes_up_and_the_good_input_stays_whole()
    {
        var before = (byte[])Good.Clone();
        var all = string.Join('\n', Mutations.Of(Good, 1, 500).Select(mutation => mutation.Description));
        foreach (var kind in new[] { "flipped", "cut to", "doubled", "written over", "8-byte field", "4-byte field", "2-byte field", "0xffffffff", " = 0xff" })
            Assert.Contains(kind, all, StringComparison.Ordinal);
        Assert.Equal(before, Good);
        Assert.True(Mutations.Of(Good, 1, 500).Count(mutation => !mutation.Bytes.AsSpan().SequenceEqual(Good)) > 450);
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(9)]
    public void Tiny_inputs_are_spoilt_too(int length) => Assert.Equal(300, Mutations.Of(new byte[length], 3, 300).Count());
}
