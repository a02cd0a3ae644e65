using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>The kernel image says some things itself: its exports, its build, its version block.</summary>
internal static class ImageProof
{
    /// <summary>Globals that the image exports in all or some builds: variables a profile's addresses can be held against.</summary>
    private static readonly KernelGlobal[] s_exported =
    [
        KernelGlobal.PsInitialSystemProcess, KernelGlobal.PsLoadedModuleList, KernelGlobal.NtBuildNumber, KernelGlobal.NtBuildLab, KernelGlobal.KeNumberProcessors, KernelGlobal.MmSystemRangeStart,
        KernelGlobal.MmHighestUserAddress, KernelGlobal.PsProcessType, KernelGlobal.PsThreadType, KernelGlobal.KdDebuggerEnabled, KernelGlobal.KdDebuggerNotPresent,
    ];

    public static void Run(WindowsSystem system, ProofSheet sheet)
    {
        var bytes = new LoadedImageBytes(system.Kernel, system.Image.Base);
        PeExports? exports = null;
        var hasHeader = PeImage.TryRead(bytes, out var image, out var reason);
        sheet.Check("the kernel image has a header for x64", hasHeader ? image!.Machine == LoadedImage.Amd64 && image.SizeOfImage == system.Image.Size : null, reason ?? $"{image?.SizeOfImage:#,0} bytes");
        if (hasHeader)
            PeExports.TryRead(image!, bytes, out exports, out reason);
        sheet.Check("the kernel image calls itself ntoskrnl.exe", exports?.ModuleName is { } name ? name.Equals("ntoskrnl.exe", StringComparison.OrdinalIgnoreCase) : null, exports?.ModuleName ?? reason ?? "unreadable");
        foreach (var global in s_exported)
        {
            sheet.Equal(
                $"{global} lies where the image exports it", system.Profile.RvaOf(global), exports?.Find(global.ToString()) is { IsForwarder: false } export ? export.Rva : null,
                "the image's exports", essential: global is KernelGlobal.PsInitialSystemProcess or KernelGlobal.PsLoadedModuleList);
        }
        foreach (var global in (ReadOnlySpan<KernelGlobal>)
            [KernelGlobal.PsActiveProcessHead, KernelGlobal.KdDebuggerDataBlock, KernelGlobal.KiProcessorBlock, KernelGlobal.MmPhysicalMemoryBlock, KernelGlobal.KiBugCheckData])
            sheet.Check($"{global} lies in a data section", IsData(image, system.Profile.RvaOf(global)), $"RVA 0x{system.Profile.RvaOf(global):x}");

        var build = Build(system);
        sheet.Check("NtBuildNumber says free or checked", system.TryReadGlobal(KernelGlobal.NtBuildNumber, out uint raw) ? raw >> 28 is 0xF or 0xC : null, $"0x{raw:x8}");
        var lab = system.Version.BuildLab;
        sheet.Check("NtBuildLab begins with the build", lab is null || build is null ? null : lab.StartsWith($"{build}.", StringComparison.Ordinal), lab ?? "unreadable");
        var labEx = system.Version.BuildLabEx;
        sheet.Check("NtBuildLabEx begins with the build", labEx is null || build is null ? null : labEx.StartsWith($"{build}.", StringComparison.Ordinal), labEx ?? "unreadable");

        Span<byte> block = stackalloc byte[VersionBlock.Length];
        var version = system.AddressOf(KernelGlobal.KdVersionBlock) is { } at && system.Kernel.TryRead(at, block) ? VersionBlock.From(block) : (VersionBlock?)null;
        sheet.Equal("KdVersionBlock has the kernel's base", version?.KernBase, system.Image.Base.Value, "its header");
        sheet.Equal("KdVersionBlock has the build", version?.MinorVersion, build, "NtBuildNumber");
        sheet.Equal("KdVersionBlock has the machine", version?.MachineType, LoadedImage.Amd64, "the image's header");
        sheet.Equal(
            "KdVersionBlock names the module list", version is null ? null : System.Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(block[0x18..]), system.ModuleListHead?.Value, "the profile");
        sheet.Check("KeNumberProcessors counts the processors", Count(system) is { } count ? count == (byte)system.Processors.Count : null, $"{Count(system)} and {system.Processors.Count}");
    }

    /// <summary>The build as the kernel says it.</summary>
    public static uint? Build(WindowsSystem system) => system.TryReadGlobal(KernelGlobal.NtBuildNumber, out uint raw) ? raw & 0xFFFF : null;

    private static byte? Count(WindowsSystem system) => system.TryReadGlobal(KernelGlobal.KeNumberProcessors, out byte count) ? count : null;

    private static bool? IsData(PeImage? image, uint? rva) =>
        image is null || rva is not { } at ? null : image.SectionAt(at) is { IsExecutable: false, IsDiscardable: false };
}
