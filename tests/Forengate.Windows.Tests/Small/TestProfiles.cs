using Forengate.Symbols;
using Forengate.Testing;

namespace Forengate.Windows.Tests;

/// <summary>Profiles of real kernels, one build of each family, from the pack the program carries.</summary>
internal static class TestProfiles
{
    private static readonly Dictionary<int, CodeViewRecord> s_kernels = new()
    {
        [7601] = Kernel("339E7413-3576-439C-BCDF-7E0229DA3773"),
        [9600] = Kernel("57850E65-D6E6-49A8-B2A1-37AA12ED6465"),
        [14393] = Kernel("5493F745-AD43-4B65-86C8-440E4242FB64"),
        [17763] = Kernel("76133B7D-5E53-E8EF-3783-A68665142583"),
        [19041] = Kernel("BBED7C29-55FB-E452-2AAA-23F4B8677AD9"),
        [20348] = Kernel("C2EADB24-A615-E947-2CE4-7C8ADD31F130"),
        [22000] = Kernel("32C1A669-D5FF-EFD4-1091-F636CFDB6E99"),
    };

    public static ProfileStore Store => ProfileStore.Carried;

    public static IEnumerable<int> Builds => s_kernels.Keys;

    public static IReadOnlyList<int> AllShadowOffsets => KernelLayouts.ShadowedTableOffsets(Store);

    public static (KernelProfile Profile, CodeViewRecord CodeView) Of(int build) =>
        (Store.Find(s_kernels[build], out _)!, s_kernels[build]);

    public static int ShadowOffset(KernelProfile profile) =>
        (profile.OffsetOf(KernelField.KPCR_Prcb) + profile.OffsetOf(KernelField.KPRCB_KernelDirectoryTableBase))!.Value;

    /// <summary>GUID and age of the kernels whose type tables are where the lab looks for them: of no others twins can be made.</summary>
    public static HashSet<string> Tables()
    {
        var named = Environment.GetEnvironmentVariable("FORENGATE_KERNEL_DATA");
        var list = (string.IsNullOrEmpty(named) ? RealData.Folder : named) is { } folder ? Path.Combine(folder, "kernels", "kernels.csv") : null;
        return list is null || !File.Exists(list) ? [] : [.. File.ReadLines(list).Skip(1).Select(line => line.Split(',')[2].Replace("-", "", StringComparison.Ordinal).ToUpperInvariant())];
    }

    private static CodeViewRecord Kernel(string guid) => new("ntkrnlmp.pdb", new Guid(guid), 1);
}
