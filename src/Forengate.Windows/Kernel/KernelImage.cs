using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>The kernel's image in memory, as its PE header describes it.</summary>
/// <param name="Base">Where it is loaded.</param>
/// <param name="Size">SizeOfImage, in bytes.</param>
/// <param name="CodeView">Name, GUID and age of its symbols.</param>
/// <param name="TimeDateStamp">The header's link time (or hash, in reproducible builds).</param>
public sealed record KernelImage(VirtualAddress Base, uint Size, CodeViewRecord CodeView, uint TimeDateStamp)
{
    public VirtualAddress End => Base + Size;

    public bool Contains(VirtualAddress address) => address - Base < Size;
}
