using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// A vCPU that was caught in something else than the Windows kernel which memory shows: with virtualization-based security the hypervisor or the secure kernel, which have page tables and descriptor
/// tables of their own. Its registers are none of a Windows processor's, even where a leftover KERNEL_GS_BASE says so.
/// </summary>
/// <param name="Cpu">The vCPU.</param>
/// <param name="Place">Where it stands, for people.</param>
/// <param name="How">What says so.</param>
internal sealed record ForeignCpu(CpuState Cpu, string Place, string How)
{
    /// <summary>How far below a handler its image's header is looked for, in bytes: hypervisor and secure kernel have under 4 MiB.</summary>
    private const ulong ImageDistance = 16 << 20;

    /// <summary>Images looked for in one view: vCPUs of one kind share theirs.</summary>
    private const int MaxImages = 8;

    /// <summary>What the hypervisor's symbols are called on Intel, AMD, and ARM64.</summary>
    private static readonly string[] s_hypervisors = ["hvix64.pdb", "hvax64.pdb", "hvaa64.pdb"];

    /// <summary>securekernel.pdb, and securekernella57.pdb.</summary>
    private const string SecureKernel = "securekernel";

    /// <summary>Those of the view's vCPUs that are proved to stand elsewhere: their own page table does not show the kernel, and the exception handlers it does show are not the kernel's.</summary>
    public static IReadOnlyList<ForeignCpu> Of(AddressSpace kernel, KernelImage image, View view, CancellationToken ct)
    {
        var found = new List<ForeignCpu>();
        var images = new Dictionary<PhysicalAddress, string?>();
        var here = kernel.Translate(image.Base);
        foreach (var cpu in view.Cpus)
        {
            ct.ThrowIfCancellationRequested();
            if (cpu is not { Cr3: { } cr3, Idtr: { } idtr } || KernelPointers.TableBase(cr3) is var table && (table == 0 || table == kernel.DirectoryTableBase.Value))
                continue;
            var own = new WindowsAddressSpace(view.Memory, table, RegisterHints.Levels(cpu) ?? kernel.Levels);
            if (own.Translate(image.Base) is { Ok: true } there && there.Address == here.Address)
                continue;
            // What LSTAR names may be the guest's while the hypervisor runs: it is no evidence.
            var code = RegisterHints.CodeAddresses(own, [cpu with { LStar = null, Rip = null }]);
            // With KVA shadow a user's table does not show the kernel's base, but its handlers' entry code.
            if (code.Count == 0 || code.Exists(at => at.Address - image.Base < image.Size))
                continue;
            var name = NameOf(own, code[0].Address, images);
            found.Add(new ForeignCpu(
                cpu, PlaceOf(name),
                $"its CR3 0x{cr3:x} shows no kernel at {image.Base}, and the handlers in its IDT at 0x{idtr.Base:x} (the first at {code[0].Address}"
                    + $"{(name is null ? ", in no image that could be named" : $", in the image of {name}")}) are none of the kernel's"));
        }
        return found;
    }

    private static string PlaceOf(string? name) => name switch
    {
        null => "outside Windows' kernel, as the hypervisor or the secure kernel of virtualization-based security are",
        _ when s_hypervisors.Contains(name, StringComparer.OrdinalIgnoreCase) => "in the hypervisor below Windows (virtualization-based security)",
        _ when name.StartsWith(SecureKernel, StringComparison.OrdinalIgnoreCase) => "in the secure kernel beside Windows (virtualization-based security)",
        _ => $"outside Windows' kernel, in {name}",
    };

    /// <summary>The symbols that the image around an address names; null where its header is not found.</summary>
    private static string? NameOf(AddressSpace space, VirtualAddress address, Dictionary<PhysicalAddress, string?> known)
    {
        var page = space.Translate(address.PageStart).Address;
        if (known.TryGetValue(page, out var name) || known.Count >= MaxImages)
            return name;
        for (var (at, low) = (address.PageStart, address.PageStart - ImageDistance); at > low && at.IsKernel; at -= Page.Size)
        {
            if (space.TryRead(at, out ushort magic) && magic == LoadedImage.Mz && LoadedImage.Read(space, at) is { } header && address - at < header.SizeOfImage)
            {
                name = header.ReadCodeView(space)?.Name;
                break;
            }
        }
        return known[page] = name;
    }
}
