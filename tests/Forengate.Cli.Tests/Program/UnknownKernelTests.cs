using System.Text.Json;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>A kernel that no pack knows: a twin whose CodeView record names another GUID.</summary>
public sealed class UnknownKernelTests
{
    [Fact]
    public void A_kernel_without_a_profile_is_named_and_declined()
    {
        var image = Path.Combine(TwinImages.Get("--build", "19041", "--memory", "128", "--raw"), "memory.raw");
        var folder = TwinFolders.New();
        var unknown = Path.Combine(folder, "unknown.raw");
        File.Copy(image, unknown);
        var memory = File.ReadAllBytes(unknown);
        ReadOnlySpan<byte> kernel = "ntkrnlmp.pdb"u8;
        const int GuidBeforeName = 20;
        var renamed = 0;
        using (var file = File.OpenHandle(unknown, FileMode.Open, FileAccess.Write))
        {
            for (var at = memory.AsSpan().IndexOf(kernel); at >= 0;)
            {
                RandomAccess.Write(file, new Guid("01020304-0506-0708-090a-0b0c0d0e0f10").ToByteArray(), at - GuidBeforeName);
                renamed++;
                var next = memory.AsSpan(at + 1).IndexOf(kernel);
                at = next < 0 ? -1 : at + 1 + next;
            }
        }
        Assert.True(renamed > 0);

        var outcome = ForengateProgram.Run("info", unknown, "--output", "json");
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("01020304-0506-0708-090a-0b0c0d0e0f10", outcome.Errors.ToLowerInvariant().Replace("0102030405060708090a0b0c0d0e0f10", "01020304-0506-0708-090a-0b0c0d0e0f10", StringComparison.Ordinal), StringComparison.Ordinal);
        // What was found on the way is told all the same.
        using var report = JsonDocument.Parse(outcome.Output);
        Assert.Equal(JsonValueKind.Null, report.RootElement.GetProperty("windows").ValueKind);
        Assert.Contains(report.RootElement.GetProperty("facts").EnumerateArray(), fact => fact.GetProperty("name").GetString() == "kernel base");

        Assert.Equal(1, ForengateProgram.Run("dump", unknown, Path.Combine(folder, "out.dmp")).ExitCode);
        Assert.False(File.Exists(Path.Combine(folder, "out.dmp")));
        Directory.Delete(folder, recursive: true);
    }
}
