using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class SizesTests
{
    [Theory]
    [InlineData(0UL, "0 B")]
    [InlineData(1023UL, "1023 B")]
    [InlineData(1536UL, "1.5 KiB")]
    [InlineData(4UL << 30, "4.0 GiB")]
    public void Bytes_are_in_binary_units(ulong bytes, string text) => Assert.Equal(text, Sizes.Of(bytes));

    [Theory]
    [InlineData(1.44, "1.4 ms")]
    [InlineData(591, "591 ms")]
    [InlineData(1500, "1.5 s")]
    [InlineData(200_000, "3 min 20 s")]
    [InlineData(11_527_000, "3 h 12 min")]
    public void Times_are_as_exact_as_they_are_long(double milliseconds, string text) => Assert.Equal(text, Sizes.Of(TimeSpan.FromMilliseconds(milliseconds)));
}
