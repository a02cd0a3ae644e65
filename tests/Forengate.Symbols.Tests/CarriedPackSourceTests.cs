using System.Diagnostics;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>The carried pack against the tables it was made from: made anew it is the same.</summary>
public sealed class CarriedPackSourceTests
{
    [Fact]
    public void Making_the_pack_anew_gives_the_same_bytes()
    {
        var tables = RealData.PathOf("kernels/isf.tar.zst");
        var kernels = RealData.PathOf("kernels/kernels.csv");
        var layouts = RealData.PathOf("kernels/layouts.tar.zst");
        var made = Path.Combine(Path.GetTempPath(), $"carried-{Environment.ProcessId}.pack");
        try
        {
            var builder = Path.Combine(
                Path.GetDirectoryName(Path.GetDirectoryName(AppContext.BaseDirectory.TrimEnd('/')))!, "Forengate.PackBuilder",
                Path.GetFileName(AppContext.BaseDirectory.TrimEnd('/')), "Forengate.PackBuilder.dll");
            using var process = Process.Start(new ProcessStartInfo("dotnet", ["exec", builder, tables, kernels, layouts, Checkout.PathOf("eng/PackBuilder/published.txt"), Checkout.PathOf("eng/PackBuilder/more.pack"), made]) { RedirectStandardOutput = true })!;
            var said = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, said);
            Assert.Equal(File.ReadAllBytes(Path.Combine(Checkout.Root, "src/Forengate.Symbols/Packs/carried.pack")), File.ReadAllBytes(made));
        }
        finally
        {
            File.Delete(made);
        }
    }
}
