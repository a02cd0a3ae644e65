using System.Diagnostics;
using System.Globalization;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>
/// Kernels that no profile knows: the twin's whole family is hidden from the store, and with --shuffle no table could help. Everything accepted must be true, and nearly all that is needed must be found.
/// FORENGATE_FULL_MATRIX=1 adds more seeds and shapes, FORENGATE_FULL_MATRIX=all every carried kernel; FORENGATE_DEDUCTION_TABLE=FILE writes the table of docs/deduction.md.
/// </summary>
public sealed class DeductionTests
{
    private const double LeastRecall = 0.95;
    private static readonly Lock s_table = new();

    /// <summary>Twins with what a system that has run for a while shows: sessions, ended and 32-bit processes, several processors.</summary>
    private const string Lived = "--cpus 2 --cpu-modes mixed --processes 60 --exited 6 --memory 256";

    /// <summary>GUID and age of the kernels that twins can be made of.</summary>
    private static readonly HashSet<string> s_tables = TestProfiles.Tables();

    public static TheoryData<string> Unknown
    {
        get
        {
            var data = new TheoryData<string>();
            // A key of five different bytes only: one of some thousand is such.
            data.Add($"--build 10.0.22000.2003 --seed 45 --shuffle 63 {Lived}");
            foreach (var build in TestProfiles.Builds)
            {
                data.Add($"--build {build} --seed 31 --shuffle {build % 97} {Lived}");
                data.Add($"--build {build} --seed 32 --hide-build {Lived}");
                if (Environment.GetEnvironmentVariable("FORENGATE_FULL_MATRIX") != "1")
                    continue;
                for (var seed = 101; seed < 109; seed++)
                    data.Add($"--build {build} --seed {seed} --shuffle {seed} {Lived} {(seed % 2 == 0 ? "--kdbg plain" : "")} {(seed % 4 == 1 ? "--kva off" : "")}");
                data.Add($"--build {build} --seed 41 --shuffle 41 --processes 300 --cpus 8 --cpu-modes user --exited 20 --threads 12 --memory 512 --fill 20");
                data.Add($"--build {build} --seed 42 --hide-build --cpus 1 --processes 40");
            }
            if (Environment.GetEnvironmentVariable("FORENGATE_FULL_MATRIX") == "all")
            {
                foreach (var version in ProfileStore.Carried.Profiles.Where(profile => s_tables.Contains(profile.CodeView.Key)).Select(profile => profile.Version).Distinct().Order())
                    data.Add($"--build {version} --seed {version.Revision % 89} --shuffle {version.Revision % 97} {Lived}");
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Unknown))]
    public void NothingWrongIsAcceptedAndNearlyAllIsFound(string options)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        var build = BuildOf(options);
        var clock = Stopwatch.StartNew();
        var found = WindowsSystem.Find(view, WithoutFamily(build));
        clock.Stop();
        Assert.True(found.System is not null, found.Reason + "\n" + string.Join('\n', found.Facts));
        Assert.True(found.System.Profile.IsDeduced);
        Assert.True(found.System.Proof.Holds);
        var judged = DeductionTruth.Judge(twin.Truth, ProfileOf(options), found.System.Profile);
        Report(options, judged, found.System.Proof, clock.Elapsed);
        Assert.Empty(judged.Wrong);
        Assert.True(judged.Recall >= LeastRecall, $"{judged.Found} of {judged.Needed}, missing {string.Join(", ", judged.Missing)}\n{string.Join('\n', found.Facts.Where(f => f.Value is null))}");
    }

    /// <summary>Of "--build 19041" or "--build 10.0.19041.329".</summary>
    internal static int BuildOf(string options) => VersionOf(options)?.Build ?? int.Parse(options.Split(' ')[1], CultureInfo.InvariantCulture);

    private static Version? VersionOf(string options) => options.Split(' ')[1] is var word && word.Contains('.', StringComparison.Ordinal) ? Version.Parse(word) : null;

    private static KernelProfile ProfileOf(string options) =>
        VersionOf(options) is { } version ? ProfileStore.Carried.Profiles.First(profile => profile.Version == version) : TestProfiles.Of(BuildOf(options)).Profile;

    /// <summary>The carried pack as if this build and its whole family had never been seen.</summary>
    internal static ProfileStore WithoutFamily(int build) =>
        ProfileStore.Carried.Where(profile => profile.Version.Build != build).WhereLayouts(layout => FamilyOf(layout.Version.Build) != FamilyOf(build));

    /// <summary>19041 to 19045 are one kernel with other features switched on; 22000 and later differ.</summary>
    private static int FamilyOf(int build) => build is > 19041 and <= 19045 ? 19041 : build;

    private static void Report(string options, DeductionTruth judged, ProfileProof proof, TimeSpan time)
    {
        if (Environment.GetEnvironmentVariable("FORENGATE_DEDUCTION_TABLE") is not { Length: > 0 } path)
            return;
        lock (s_table)
        {
            File.AppendAllText(
                path,
                $"| `{options.Trim()}` | {judged.Accepted} | {judged.Wrong.Count} | {judged.Found} of {judged.Needed} ({judged.Recall:P1}) | {string.Join(", ", judged.Missing)} | {proof.Passed}/{proof.Applicable} | {time.TotalMilliseconds:0} ms |{(judged.Unjudged.Count > 0 ? $" unjudged {string.Join(", ", judged.Unjudged)}" : "")}{(judged.Wrong.Count > 0 ? $" WRONG {string.Join(", ", judged.Wrong)}" : "")}\n");
        }
    }
}
