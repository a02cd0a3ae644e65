using Forengate.Symbols;

namespace Forengate.Windows.Tests;

public sealed class KernelLayoutsTests
{
    [Fact]
    public void EveryCarriedKernelHasAllThatThisRoomNeeds()
    {
        var kernels = ProfileStore.Carried.Packs.SelectMany(pack => Enumerable.Range(0, pack.Count).Select(index => pack[index])).ToList();
        Assert.True(kernels.Count >= 181);
        foreach (var kernel in kernels)
        {
            Assert.True(KernelLayouts.Resolve(kernel, out var missing) is not null, $"{kernel}: {missing}");
            foreach (var global in (KernelGlobal[])
            [
                KernelGlobal.PsInitialSystemProcess, KernelGlobal.PsActiveProcessHead, KernelGlobal.PsLoadedModuleList, KernelGlobal.KdDebuggerDataBlock, KernelGlobal.KdpDataBlockEncoded,
                KernelGlobal.KiWaitNever, KernelGlobal.KiWaitAlways, KernelGlobal.KdVersionBlock, KernelGlobal.KiProcessorBlock, KernelGlobal.KiBugCheckData, KernelGlobal.MmPhysicalMemoryBlock,
            ])
                Assert.True(kernel.RvaOf(global) is not null, $"{kernel}: {global}");
        }
    }

    /// <summary>Where public write-ups and tools put the kernel's table base under KVA shadow: gs:6000h on 7601, 7000h to 17763, 9000h on 19041, A000h on 20348 and 22000.</summary>
    [Fact]
    public void AllPlacesOfTheKernelsTableBaseAreTried() =>
        Assert.Equal([0x6000, 0x7000, 0x9000, 0xA000], KernelLayouts.ShadowedTableOffsets(ProfileStore.Carried).Intersect([0x6000, 0x7000, 0x9000, 0xA000]));

    [Fact]
    public void OneReadTakesAWholeProcess()
    {
        foreach (var build in TestProfiles.Builds)
        {
            var layout = KernelLayouts.Resolve(TestProfiles.Of(build).Profile, out _)!.Process;
            Assert.InRange(layout.Length, layout.ExitTime!.Value + 8, TestProfiles.Of(build).Profile.SizeOf(KernelStruct.EPROCESS)!.Value);
        }
    }
}
