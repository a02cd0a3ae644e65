using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class TerminalTextTests
{
    [Theory]
    [InlineData("notepad.exe", "notepad.exe")]
    [InlineData("表計算😀.exe", "表計算😀.exe")]
    [InlineData("a\tb", @"a\u0009b")]
    [InlineData("\u009b31m", @"\u009b31m")]
    [InlineData("a\u200bb", @"a\u200bb")]
    public void Harmful_characters_are_shown_and_all_others_kept(string text, string safe) => Assert.Equal(safe, TerminalText.MakeSafe(text));

    [Fact]
    public void Half_a_pair_is_shown_by_its_code()
    {
        Assert.Equal(@"x\ud83d", TerminalText.MakeSafe("x\ud83d"));
        Assert.Equal(@"\ude00x", TerminalText.MakeSafe("\ude00x"));
    }

    [Theory]
    [InlineData("abc", 3)]
    [InlineData("表", 2)]
    [InlineData("😀", 2)]
    [InlineData("e\u0301", 1)]
    [InlineData("Ольга", 5)]
    public void Width_is_in_terminal_cells(string text, int width) => Assert.Equal(width, TerminalText.WidthOf(text));
}
