namespace Forengate.Symbols.Tests;

/// <summary>Symbol paths as people copy them from their debuggers.</summary>
public sealed class SymbolServerSpecTests
{
    [Theory]
    [InlineData("srv*https://msdl.microsoft.com/download/symbols", "", "https://msdl.microsoft.com/download/symbols/")]
    [InlineData("SRV**https://s/x/", "", "https://s/x/")]
    [InlineData("srv*/a*/b*http://s:8080", "/a /b", "http://s:8080/")]
    [InlineData("symsrv*symsrv.dll*/a*https://s", "/a", "https://s/")]
    [InlineData("https://s/y", "", "https://s/y/")]
    [InlineData("/store", "", "/store")]
    [InlineData("cache*/c;srv*/a*https://s", "/c /a", "https://s/")]
    [InlineData("cache*/c", "/c", "/c")]
    public void Is_read(string text, string caches, string from)
    {
        var spec = Assert.Single(SymbolServerSpec.Parse(text));
        Assert.Equal((caches, from), (string.Join(' ', spec.Caches), spec.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("srv*")]
    [InlineData("cache*")]
    [InlineData("foo*bar")]
    [InlineData("ftp://s/x")]
    [InlineData("https://s/x?token=1")]
    [InlineData("srv*https://s*/b")]
    [InlineData(@"\\server\share")]
    [InlineData("https://")]
    public void Is_refused_with_a_reason(string text) => Assert.NotEmpty(Assert.Throws<SymbolFormatException>(() => SymbolServerSpec.Parse(text)).Message);

    [Fact]
    public void Several_places_are_asked_in_their_order() =>
        Assert.Equal(["/a", "https://s/"], SymbolServerSpec.Parse("/a; srv*https://s").Select(spec => spec.ToString()));
}
