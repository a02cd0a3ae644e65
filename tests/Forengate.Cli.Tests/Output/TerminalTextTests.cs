using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class TerminalTextTests
{
    [Theory]
    [InlineData("svchost.exe")]
    [InlineData("отчёт データ 회계 🚀 naïve e\u0301")]
    [InlineData("")]
    public void Honest_names_stay_as_they_are(string name) => Assert.Same(name, TerminalText.MakeSafe(name));

    [Theory]
    [InlineData("\u001b]0;title\a", "\\u001b]0;title\\u0007")]
    [InlineData("\u009b31m", "\\u009b31m")]
    [InlineData("a\0b\tc\u007f", "a\\u0000b\\u0009c\\u007f")]
    [InlineData("gpj\u202eexe", "gpj\\u202eexe")]
    [InlineData("\u2066x\u2069", "\\u2066x\\u2069")]
    [InlineData("a\u200bb\ufeff", "a\\u200bb\\ufeff")]
    [InlineData("a\u2028b", "a\\u2028b")]
    [InlineData("\ud83d\ude80\u001b", "\ud83d\ude80\\u001b")]
    public void What_drives_or_deceives_is_spelled_out(string name, string shown) => Assert.Equal(shown, TerminalText.MakeSafe(name));

    [Fact]
    public void Half_a_surrogate_pair_is_spelled_out()
    {
        Assert.Equal("\\ud83d!", TerminalText.MakeSafe("\ud83d!"));
        Assert.Equal("!\\udc00", TerminalText.MakeSafe("!\udc00"));
        Assert.Equal("\\udc00\\ud83d", TerminalText.MakeSafe("\udc00\ud83d"));
    }

    [Theory]
    [InlineData("svchost", 7)]
    [InlineData("отчёт", 5)]
    [InlineData("データ", 6)]
    [InlineData("회계", 4)]
    [InlineData("🚀x", 3)]
    [InlineData("e\u0301", 1)]
    [InlineData("", 0)]
    public void Width_is_counted_in_terminal_cells(string text, int cells) => Assert.Equal(cells, TerminalText.WidthOf(text));
}
