namespace Forengate.Engine.Tests.Families;

public sealed class FamilyCaseTests
{
    [Fact]
    public void In_the_covering_set_every_two_values_meet()
    {
        static object[] Values(FamilyCase one) => [one.Mode, one.Encoded, one.Cpus, one.AboveHole, one.KvaShadow];
        static HashSet<(int, object, int, object)> Pairs(IEnumerable<FamilyCase> cases)
        {
            var pairs = new HashSet<(int, object, int, object)>();
            foreach (var values in cases.Select(Values))
                for (var i = 0; i < values.Length; i++)
                    for (var k = i + 1; k < values.Length; k++)
                        pairs.Add((i, values[i], k, values[k]));
            return pairs;
        }

        Assert.Equal(48, FamilyCase.All.Distinct().Count());
        Assert.Equal(Pairs(FamilyCase.All).Count, Pairs(FamilyCase.Covering).Count);
    }
}
