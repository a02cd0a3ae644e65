using Forengate.Lab.Tables;

namespace Forengate.Lab;

/// <summary><c>twin builds</c>: which kernels an image can be made of.</summary>
internal static class BuildsVerb
{
    public static void Run()
    {
        foreach (var (family, version) in KernelCatalog.Carried)
            Console.Out.WriteLine($"{family,-18} {version,-18} carried");
        foreach (var build in SharedData.Find()?.Builds() ?? [])
            Console.Out.WriteLine($"{build.Version,-18} {build.Guid}-{build.Age}");
    }
}
