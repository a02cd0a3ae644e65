using System.Text.RegularExpressions;
using System.Xml.Linq;
using Forengate.Testing;

[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]

namespace Forengate.House.Tests.Rules;

/// <summary>What a reader may expect of every file.</summary>
public sealed partial class FileTests
{
    /// <summary>Above this a file is two concepts.</summary>
    private const int LongestFile = 600;

    /// <summary>Whoever clones the project must be able to run it: no path of somebody's machine, no address of one package registry's host.</summary>
    [Fact]
    public void No_file_names_a_place_on_one_machine() => None(Offences("", _ => true, SomebodysPlace()));

    [Fact]
    public void No_source_is_left_half_done() =>
        None(Offences("src", IsSource, HalfDone()).Concat(Offences("lab", IsSource, HalfDone())).Concat(Offences("tests/judge", IsSource, HalfDone())));

    [Fact]
    public void No_source_is_too_long() => None(House.TextFiles().Where(IsSource)
        .Select(file => (file, lines: File.ReadLines(Checkout.PathOf(file)).Count()))
        .Where(one => one.lines > LongestFile)
        .Select(one => $"{one.file}: {one.lines} lines, {LongestFile} at most"));

    /// <summary>One concept a file, named after it or after what its types share; <c>Concept.Part.cs</c> holds a part of one.</summary>
    [Fact]
    public void Every_source_declares_the_concept_that_it_is_named_after() => None(House.TextFiles("src").Concat(House.TextFiles("lab")).Where(IsSource)
        .Where(file => Path.GetFileName(file) is not ("Program.cs" or "AssemblyInfo.cs" or "GlobalUsings.cs"))
        .Where(file =>
        {
            var concept = Path.GetFileName(file).Split('.')[0];
            return !Regex.IsMatch(File.ReadAllText(Checkout.PathOf(file)), $@"\b(class|struct|record|interface|enum|delegate [\w<>\[\]?., ]+) +{Regex.Escape(concept)}");
        }));

    [Fact]
    public void No_source_is_named_after_nothing() =>
        None(House.TextFiles("src").Concat(House.TextFiles("lab")).Where(file => IsSource(file) && NoConcept().IsMatch(Path.GetFileNameWithoutExtension(file))));

    [Fact]
    public void What_is_run_can_be_run()
    {
        var commands = House.TextFiles().Where(file => Path.GetExtension(file) is "" or ".sh" && File.ReadLines(Checkout.PathOf(file)).FirstOrDefault()?.StartsWith("#!", StringComparison.Ordinal) == true).ToList();
        Assert.Contains("test", commands);
        Assert.Contains("forengate", commands);
        Assert.Contains(".ci/run", commands);
        None(commands.Where(file => (File.GetUnixFileMode(Checkout.PathOf(file)) & UnixFileMode.UserExecute) == 0));
    }

    /// <summary>A project without its lock file would restore whatever is newest.</summary>
    [Fact]
    public void Every_project_pins_its_packages() => None(House.TextFiles().Where(file => file.EndsWith(".csproj", StringComparison.Ordinal))
        .Where(file => !File.Exists(Checkout.PathOf(Path.Combine(Path.GetDirectoryName(file)!, "packages.lock.json")))
            || XDocument.Load(Checkout.PathOf(file)).Descendants("PackageReference").Any(package => package.Attribute("Version") is not null)));

    private static void None(IEnumerable<string> offenders)
    {
        var all = string.Join('\n', offenders);
        Assert.True(all.Length == 0, all);
    }

    private static bool IsSource(string file) => Path.GetExtension(file) is ".cs" or ".c" or ".h";

    private static IEnumerable<string> Offences(string folder, Func<string, bool> counts, Regex offence) => House.TextFiles(folder).Where(counts)
        .SelectMany(file => File.ReadLines(Checkout.PathOf(file)).Select((text, index) => (text, index)).Where(line => offence.IsMatch(line.text)).Select(line => $"{file}:{line.index + 1}: {line.text.Trim()}"));

    [GeneratedRegex(@"(?<![\w.~)}])/(home|root|work|workspace|builds?|Users)/\w|\b(api\.nuget|registry\.npmjs|deb\.debian)\b")]
    private static partial Regex SomebodysPlace();

    [GeneratedRegex(@"\b(TODO|FIXME|HACK|XXX)\b|NotImplementedException")]
    private static partial Regex HalfDone();

    [GeneratedRegex("(Util|Utils|Utilities|Helper|Helpers|Manager|Misc|Common|Stuff)$")]
    private static partial Regex NoConcept();
}
