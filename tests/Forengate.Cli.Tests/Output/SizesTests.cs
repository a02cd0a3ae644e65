using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class SizesTests
{
    [Theory]
    [InlineData(0UL, "0 B")]
    [InlineData(1023UL, "1023 B")]
    [InlineData(1024UL, "1.0 KiB")]
    [InlineData(134217728UL, "128.0 MiB")]
    [InlineData(1610612736UL, "1.5 GiB")]
    [InlineData(ulong.MaxValue, "16777216.0 TiB")]
    public void Bytes(ulong bytes, string shown) => Assert.Equal(shown, Sizes.Of(bytes));

    [Theory]
    [InlineData(0.4, "0.4 ms")]
    [InlineData(340, "340 ms")]
    [InlineData(1500, "1.5 s")]
    [InlineData(119_000, "119.0 s")]
    [InlineData(150_000, "2 min 30 s")]
    [InlineData(7_260_000, "2 h 1 min")]
    [InlineData(180_060_000, "2 d 2 h 1 min")]
    public void Times(double milliseconds, string shown) => Assert.Equal(shown, Sizes.Of(TimeSpan.FromMilliseconds(milliseconds)));
}
