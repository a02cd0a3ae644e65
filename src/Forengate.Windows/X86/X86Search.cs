using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Looks for a 32-bit kernel: by the CPUs' page tables, then by those in memory that map themselves.</summary>
internal sealed class X86Search(View view, ProfileStore profiles, WindowsLimits limits, CancellationToken ct)
{
    /// <summary>Kernel images looked at through one page table: one, and what an earlier boot or a crash kernel may have left.</summary>
    private const int MaxImages = 4;

    /// <summary>Page tables found in memory that are followed. Each process has one, and all lead to the same kernel.</summary>
    private const int MaxTables = 32;

    /// <summary>IMAGE_FILE_MACHINE_I386.</summary>
    private const ushort Machine386 = 0x14C;

    private readonly List<Fact> _tried = [];
    private (KernelImage Image, string Why)? _declined;

    /// <summary>True where the CPUs' registers speak of a 32-bit system: paging is on and is not that of long mode.</summary>
    public static bool IsLikely(IReadOnlyList<CpuState> cpus) => cpus.Any(cpu => cpu.PagingLevels is 2 or 3 || (cpu.PagingLevels is not null && cpu is { Efer: null, Cr3: <= uint.MaxValue, Gdtr.Base: >= X86Pointers.KernelStart and <= uint.MaxValue }));

    public WindowsSearch Run()
    {
        foreach (var table in X86TableSearch.OfCpus(view.Cpus))
        {
            if (Try(table) is { } found)
                return found;
        }
        var tables = X86TableSearch.InMemory(view.Memory, limits, ct);
        _tried.Add(new Fact("search", null, $"{tables.Count} page tables of 32-bit systems that map themselves"));
        foreach (var table in tables.Take(MaxTables))
        {
            if (Try(table) is { } found)
                return found;
        }
        return _declined is var (image, why)
            ? new WindowsSearch(null, _tried, $"a 32-bit Windows kernel ({image.CodeView}) is at {image.Base}, but it cannot be read: {why}")
            : new WindowsSearch(null, _tried, tables.Count == 0 && view.Cpus.Count == 0
                ? "32-bit Windows: no page table that maps itself as Windows' do is in this memory; is the image whole?"
                : "32-bit Windows: no page table leads to a kernel in this memory; is it a Windows guest, and the image whole?");
    }

    private WindowsSearch? Try(X86Table table)
    {
        ct.ThrowIfCancellationRequested();
        var space = new WindowsAddressSpace(view.Memory, table.Base, table.Levels);
        if (SharedPageCheck.Judge(space) is { } complaint)
        {
            _tried.Add(new Fact("directory table base", null, $"0x{table.Base:x} ({table.How}): {complaint}"));
            return null;
        }
        var count = 0;
        foreach (var image in Images(space))
        {
            count++;
            var opening = new X86Opening(view, profiles, space, image, table.How, limits, ct);
            if (opening.Run(out var reason) is { } system)
                return new WindowsSearch(null, system.KernelFacts, null) { X86 = system };
            _declined ??= (image, reason);
            _tried.AddRange(opening.Facts);
            _tried.Add(new Fact("kernel", null, $"{image.CodeView} at {image.Base} through {table.How}: {reason}"));
        }
        if (count == 0)
            _tried.Add(new Fact("kernel image", null, $"through 0x{table.Base:x} ({table.How}): no image of a 32-bit kernel is mapped"));
        return null;
    }

    /// <summary>Images of kernels in the kernel's half, lowest first: 32 bits of addresses are few enough to look at each page.</summary>
    private IEnumerable<KernelImage> Images(AddressSpace space)
    {
        var count = 0;
        foreach (var mapping in space.Mappings(new VirtualAddress(X86Pointers.KernelStart), new VirtualAddress(uint.MaxValue), limits.PageTables))
        {
            ct.ThrowIfCancellationRequested();
            for (var offset = 0UL; offset < mapping.Size; offset += Page.Size)
            {
                if (!view.Memory.TryRead(mapping.Physical + offset, out ushort magic) || magic != LoadedImage.Mz)
                    continue;
                var at = mapping.Address + offset;
                if (LoadedImage.Read(space, at) is not { Is64Bit: false, Machine: Machine386 } header || header.ReadCodeView(space) is not { } codeView || !KernelPdbNames.IsKernel(codeView.Name))
                    continue;
                yield return new KernelImage(at, header.SizeOfImage, codeView, header.TimeDateStamp);
                if (++count == MaxImages)
                    yield break;
            }
        }
    }
}
