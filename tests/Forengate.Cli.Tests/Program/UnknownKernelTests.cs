using System.Diagnostics;
using System.Text.Json;
using Forengate.Testing;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>Kernels that no pack knows: their layout is deduced from their own memory, and where that fails they are named and declined.</summary>
public sealed class UnknownKernelTests
{
    [Fact]
    public void A_kernel_nobody_has_seen_is_deduced_and_dumped()
    {
        var image = Path.Combine(TwinImages.Get("--build", "19041", "--shuffle", "91", "--memory", "128", "--exited", "4", "--raw"), "memory.raw");
        var info = ForengateProgram.Run("info", image, "--output", "json");
        Assert.True(info.ExitCode == 0, info.Errors);
        using var report = JsonDocument.Parse(info.Output);
        var facts = report.RootElement.GetProperty("facts").EnumerateArray().ToList();
        Assert.Contains(facts, fact => fact.GetProperty("name").GetString() == "profile" && fact.GetProperty("value").GetString()!.Contains("deduced", StringComparison.Ordinal));
        Assert.Contains(facts, fact => fact.GetProperty("name").GetString() == "profile self-test" && fact.GetProperty("value").GetString()!.Contains("checks passed", StringComparison.Ordinal));
        Assert.Contains(facts, fact => fact.GetProperty("name").GetString() == "deduced _EPROCESS.ImageFileName");

        var truth = TwinTruth.Read(Path.GetDirectoryName(image)!);
        var processes = ForengateProgram.Run("processes", image, "--output", "json");
        Assert.Equal(0, processes.ExitCode);
        using var listed = JsonDocument.Parse(processes.Output);
        Assert.Equal(truth.Processes.Count(process => process.Listed), listed.RootElement.GetArrayLength());
        Assert.Equal(0, ForengateProgram.Run("drivers", image, "--output", "json").ExitCode);

        var folder = TwinFolders.New();
        var dump = Path.Combine(folder, "out.dmp");
        var written = ForengateProgram.Run("dump", image, dump);
        Assert.True(File.Exists(dump), written.Errors);
        var check = ForengateProgram.Run("check", dump, "--output", "json");
        Assert.True(check.ExitCode is 0 or 3, check.Errors + check.Output);
        Assert.Equal(0, ForengateProgram.Run("processes", dump, "--output", "json").ExitCode);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void A_symbol_file_of_the_users_goes_before_deduction()
    {
        var image = TwinImages.Get("--build", "19041", "--shuffle", "91", "--memory", "128", "--exited", "4", "--raw");
        var folder = TwinFolders.New();
        var pdb = Path.Combine(folder, "ntkrnlmp.pdb");
        using (var writer = Process.Start(Checkout.PathOf("twin"), ["pdb", image, "--out", pdb]))
        {
            writer.WaitForExit();
            Assert.Equal(0, writer.ExitCode);
        }

        var memory = Path.Combine(image, "memory.raw");
        var info = ForengateProgram.Run("info", memory, "--symbols", pdb, "--output", "json");
        Assert.True(info.ExitCode == 0, info.Errors);
        using var report = JsonDocument.Parse(info.Output);
        var facts = report.RootElement.GetProperty("facts").EnumerateArray().ToList();
        var profile = facts.Single(fact => fact.GetProperty("name").GetString() == "profile");
        Assert.Contains("ntkrnlmp.pdb", profile.GetRawText(), StringComparison.Ordinal);
        Assert.DoesNotContain("deduced", profile.GetRawText(), StringComparison.Ordinal);
        Assert.DoesNotContain(facts, fact => fact.GetProperty("name").GetString()!.StartsWith("deduced ", StringComparison.Ordinal));
        using var listed = JsonDocument.Parse(ForengateProgram.Run("processes", memory, "--symbols", folder, "--output", "json").Output);
        Assert.Equal(TwinTruth.Read(image).Processes.Count(process => process.Listed), listed.RootElement.GetArrayLength());

        var wrong = ForengateProgram.Run("info", memory, "--symbols", Path.Combine(folder, "nowhere.pdb"));
        Assert.Equal(1, wrong.ExitCode);
        Assert.Contains("nowhere.pdb", wrong.Errors, StringComparison.Ordinal);
        Assert.Equal(1, ForengateProgram.Run("info", memory, "--symbols", memory).ExitCode);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void A_kernel_whose_memory_does_not_tell_is_named_and_declined()
    {
        var image = Path.Combine(TwinImages.Get("--build", "19041", "--hide-build", "--memory", "128", "--raw"), "memory.raw");
        var folder = TwinFolders.New();
        var unknown = Path.Combine(folder, "unknown.raw");
        File.Copy(image, unknown);
        var memory = File.ReadAllBytes(unknown);
        ReadOnlySpan<byte> export = "PsInitialSystemProcess\0"u8;
        using (var file = File.OpenHandle(unknown, FileMode.Open, FileAccess.Write))
        {
            var at = memory.AsSpan().IndexOf(export);
            Assert.True(at > 0);
            for (; at >= 0; at = memory.AsSpan(at).IndexOf(export) is var next and >= 0 ? at + next : -1)
            {
                memory[at] = (byte)'X';
                RandomAccess.Write(file, "X"u8, at);
            }
        }

        var truth = TwinTruth.Read(Path.GetDirectoryName(image)!);
        var outcome = ForengateProgram.Run("info", unknown, "--output", "json");
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains(truth.Build.PdbGuid, outcome.Errors.Replace("-", "", StringComparison.Ordinal), StringComparison.OrdinalIgnoreCase);
        Assert.Contains("PsInitialSystemProcess", outcome.Errors, StringComparison.Ordinal);
        // What was found on the way is told all the same.
        using var report = JsonDocument.Parse(outcome.Output);
        Assert.Equal(JsonValueKind.Null, report.RootElement.GetProperty("windows").ValueKind);
        Assert.Contains(report.RootElement.GetProperty("facts").EnumerateArray(), fact => fact.GetProperty("name").GetString() == "kernel base");

        Assert.Equal(1, ForengateProgram.Run("dump", unknown, Path.Combine(folder, "out.dmp")).ExitCode);
        Assert.False(File.Exists(Path.Combine(folder, "out.dmp")));
        Directory.Delete(folder, recursive: true);
    }
}
