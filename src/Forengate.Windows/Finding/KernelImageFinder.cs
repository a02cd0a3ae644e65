using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Finds the kernel's image below an address in it: page by page down to a PE32+ header whose CodeView record names a kernel. Pages that are gone
/// (discarded sections, a header that lies alone) do not stop it; other images on the way do not either.
/// </summary>
internal sealed class KernelImageFinder(AddressSpace space, WindowsLimits limits, SearchBudget budget)
{
    private readonly List<(ulong Low, ulong High)> _walked = [];

    /// <summary>Kernel images seen that are not for x64 or lack what is needed, for the record.</summary>
    public List<string> Rejected { get; } = [];

    /// <summary>The kernel's image that lies below (or at) the address, or null.</summary>
    public KernelImage? FindBelow(VirtualAddress address, CancellationToken ct)
    {
        var start = address.PageStart.Value;
        var low = start > limits.ImageSearchDistance ? start - limits.ImageSearchDistance : 0;
        foreach (var (walkedLow, walkedHigh) in _walked)
        {
            // Another walk has been there: only what lies below it is new, and that was too far for the address that walk began at, not for this one.
            if (start >= walkedLow && start <= walkedHigh)
                start = walkedLow - Page.Size;
        }

        if (start < low || !budget.TakeWalk())
            return null;
        for (var at = start; at >= low && new VirtualAddress(at).IsKernel;)
        {
            ct.ThrowIfCancellationRequested();
            var translation = space.Translate(new VirtualAddress(at));
            if (!translation.Ok)
            {
                at = (at & ~(translation.PageSize - 1)) - Page.Size;
                continue;
            }
            if (TryReadKernel(new VirtualAddress(at), translation.Address) is { } image)
                return image;
            at -= Page.Size;
        }
        _walked.Add((low, start));
        return null;
    }

    /// <summary>The kernel's image whose header lies at the address, or null.</summary>
    public KernelImage? TryReadKernel(VirtualAddress at)
    {
        var translation = space.Translate(at);
        return translation.Ok ? TryReadKernel(at, translation.Address) : null;
    }

    private KernelImage? TryReadKernel(VirtualAddress at, PhysicalAddress page)
    {
        if (!space.Memory.TryRead(page, out ushort magic) || magic != LoadedImage.Mz || LoadedImage.Read(space, at) is not { } header)
            return null;
        if (header.ReadCodeView(space) is not { } codeView || !KernelPdbNames.IsKernel(codeView.Name))
            return null;
        if (header is not { Is64Bit: true, Machine: LoadedImage.Amd64 })
        {
            Rejected.Add($"{codeView.Name} at {at} is for machine 0x{header.Machine:x}, not for x64");
            return null;
        }
        return new KernelImage(at, header.SizeOfImage, codeView, header.TimeDateStamp);
    }
}
