using System.Runtime.InteropServices;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>A loaded image's bytes, read through a page table.</summary>
internal sealed class LoadedImageBytes(AddressSpace space, VirtualAddress start) : IImageBytes
{
    public bool TryRead(uint rva, Span<byte> destination) => space.TryRead(start + rva, destination);
}

/// <summary>The kernel image's headers, exports and the data pages that are in memory: where globals lie.</summary>
internal sealed class KernelData
{
    /// <summary>The most bytes kept: kernels have below 10 MiB of data.</summary>
    private const uint MaxBytes = 64 << 20;

    /// <summary>Sections that hold tables of the linker, no variables.</summary>
    private static readonly string[] s_tables = [".pdata", ".edata", ".rsrc", ".reloc", ".idata"];

    private readonly AddressSpace _space;
    private readonly KernelImage _kernel;
    private readonly List<(uint Rva, byte[] Bytes)> _pages = [];

    private KernelData(AddressSpace space, KernelImage kernel, PeImage? image, PeExports? exports) => (_space, _kernel, Image, Exports) = (space, kernel, image, exports);

    public PeImage? Image { get; }

    public PeExports? Exports { get; }

    /// <summary>Data pages that hold more than zeros, by ascending RVA.</summary>
    public IReadOnlyList<(uint Rva, byte[] Bytes)> Pages => _pages;

    public static KernelData Read(AddressSpace space, KernelImage kernel, CancellationToken ct)
    {
        var bytes = new LoadedImageBytes(space, kernel.Base);
        if (!PeImage.TryRead(bytes, out var image, out _))
            return new KernelData(space, kernel, null, null);
        PeExports.TryRead(image, bytes, out var exports, out _);
        var data = new KernelData(space, kernel, image, exports);
        var taken = 0u;
        var buffer = new byte[Page.Size];
        foreach (var section in image.Sections)
        {
            if (section.IsExecutable || section.IsDiscardable || s_tables.Contains(section.Name))
                continue;
            var end = Math.Min((ulong)section.VirtualAddress + section.VirtualSize, kernel.Size);
            for (var rva = (ulong)section.VirtualAddress & ~(ulong)(Page.Size - 1); rva < end && taken < MaxBytes; rva += Page.Size)
            {
                ct.ThrowIfCancellationRequested();
                if (!space.TryRead(kernel.Base + rva, buffer) || !buffer.AsSpan().ContainsAnyExcept((byte)0))
                    continue;
                data._pages.Add(((uint)rva, buffer));
                buffer = new byte[Page.Size];
                taken += Page.Size;
            }
        }
        return data;
    }

    /// <summary>RVAs of a qword on eight-byte boundaries.</summary>
    public IEnumerable<uint> Find(ulong value)
    {
        foreach (var (rva, bytes) in _pages)
        {
            var from = 0;
            while (MemoryMarshal.Cast<byte, ulong>(bytes.AsSpan())[from..].IndexOf(value) is var found and >= 0)
            {
                yield return rva + (uint)((from + found) * sizeof(ulong));
                from += found + 1;
            }
        }
    }

    /// <summary>RVAs of bytes within one page, in all of the image: constants may lie with the code.</summary>
    public IEnumerable<uint> FindText(byte[] pattern, CancellationToken ct)
    {
        var page = new byte[Page.Size];
        for (var rva = 0u; rva < Math.Min(_kernel.Size, MaxBytes); rva += Page.Size)
        {
            ct.ThrowIfCancellationRequested();
            if (!_space.TryRead(_kernel.Base + rva, page))
                continue;
            var from = 0;
            while (page.AsSpan(from).IndexOf(pattern) is var found and >= 0)
            {
                yield return rva + (uint)(from + found);
                from += found + 1;
            }
        }
    }
}
