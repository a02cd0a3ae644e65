using Forengate.Lab.Tables;
using Forengate.Testing;

namespace Forengate.Lab.Tests.Image;

public sealed class CarriedTablesTests
{
    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void Carried_tables_are_what_the_real_ones_give(string family)
    {
        RealData.PathOf("kernels/isf.tar.zst");
        var shared = SharedData.Find()!;
        var full = shared.Load(shared.Build(KernelCatalog.Carried[family])!);
        Assert.Equal(KernelCatalog.CarriedText(family), TableText.Write(TableVerb.Used(full)));
    }

    [Fact]
    public void A_kernel_that_is_not_carried_comes_from_the_data_by_version_or_guid()
    {
        RealData.PathOf("kernels/isf.tar.zst");
        var byVersion = KernelCatalog.Load("10.0.19041.388");
        Assert.Equal("110A2D89ED7A438FEFFC84F9CFDD6C00", byVersion.Build.Guid);
        Assert.Equal(byVersion.Symbol("PsLoadedModuleList"), KernelCatalog.Load("110A2D89ED7A438FEFFC84F9CFDD6C001").Symbol("PsLoadedModuleList"));
        var (_, truth) = Twins.Make(Twins.Small("10.0.19041.388"));
        Assert.Equal("10.0.19041.388", truth.Build.Version);
    }

    [Fact]
    public void An_unknown_build_is_refused()
    {
        Assert.Throws<TableException>(() => KernelCatalog.Load("12.3.4.5"));
    }
}
