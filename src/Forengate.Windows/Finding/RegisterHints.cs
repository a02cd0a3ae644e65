using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What the CPUs' registers tell of the kernel: page tables, processor control regions, addresses in its code.</summary>
internal static class RegisterHints
{
    /// <summary>A page table worth trying.</summary>
    /// <param name="Base">Guest-physical, PCID and flags masked.</param>
    /// <param name="Levels">4 or 5; null where CR4 is unknown.</param>
    /// <param name="How">Where it comes from.</param>
    public readonly record struct Table(ulong Base, int? Levels, string How);

    /// <summary>An address that lies in the kernel's image, if all is well.</summary>
    public readonly record struct CodeAddress(VirtualAddress Address, string How);

    /// <summary>Vectors whose handlers are the kernel's own on every build: the exceptions. Device interrupts may lead into pool.</summary>
    private const int ExceptionVectors = 32;

    /// <summary>Size of a 64-bit gate (Intel SDM vol. 3, 6.14.1).</summary>
    private const int GateSize = 16;

    /// <summary>CR4.LA57 (Intel SDM vol. 3, 2.5).</summary>
    private const ulong La57 = 1UL << 12;

    public static int? Levels(CpuState cpu) => cpu.Cr4 is { } cr4 ? (cr4 & La57) != 0 ? 5 : 4 : null;

    /// <summary>CR3 of every CPU, each table once.</summary>
    public static IEnumerable<Table> Tables(IReadOnlyList<CpuState> cpus)
    {
        var seen = new HashSet<ulong>();
        foreach (var cpu in cpus)
        {
            if (cpu.Cr3 is { } cr3 && KernelPointers.TableBase(cr3) is var table && table != 0 && seen.Add(table))
                yield return new Table(table, Levels(cpu), $"CR3 of vCPU {cpu.Index}");
        }
    }

    /// <summary>
    /// <c>KPRCB.KernelDirectoryTableBase</c> of every CPU, read through that CPU's own CR3: with KVA shadow the user's table maps little of the kernel, but the page with
    /// this field it must map, because the kernel's entry code loads CR3 from it.
    /// </summary>
    /// <param name="memory">The view's memory.</param>
    /// <param name="cpus">The view's CPUs.</param>
    /// <param name="offsets">Every distance from KPCR to the field that any known build has.</param>
    public static IEnumerable<Table> ShadowedTables(PhysicalMemory memory, IReadOnlyList<CpuState> cpus, IReadOnlyList<int> offsets)
    {
        var seen = new HashSet<ulong>();
        foreach (var cpu in cpus)
        {
            if (cpu.Cr3 is not { } cr3)
                continue;
            var space = new AddressSpace(memory, cr3, Levels(cpu) ?? 4);
            foreach (var (gs, name) in GsBases(cpu))
            {
                foreach (var offset in offsets)
                {
                    if (space.TryRead(gs + (ulong)offset, out ulong stored) && KernelPointers.TableBase(stored) is var table
                        && table != 0 && table < memory.End.Value && seen.Add(table))
                        yield return new Table(table, Levels(cpu), $"KPRCB.KernelDirectoryTableBase at {name}+0x{offset:x} of vCPU {cpu.Index}");
                }
            }
        }
    }

    /// <summary>Both GS bases, as far as they lie in the kernel's half.</summary>
    public static IEnumerable<(VirtualAddress Base, string Name)> GsBases(CpuState cpu)
    {
        if (cpu.Gs?.Base is { } gs && KernelPointers.IsObject(new VirtualAddress(gs), 5))
            yield return (new VirtualAddress(gs), "GS base");
        if (cpu.KernelGsBase is { } swap && swap != cpu.Gs?.Base && KernelPointers.IsObject(new VirtualAddress(swap), 5))
            yield return (new VirtualAddress(swap), "KERNEL_GS_BASE");
    }

    /// <summary>Where the system call entry, the exception handlers and the instruction pointers lie, as this address space shows them.</summary>
    public static List<CodeAddress> CodeAddresses(AddressSpace space, IReadOnlyList<CpuState> cpus)
    {
        var found = new List<CodeAddress>();
        var seen = new HashSet<VirtualAddress>();
        void Add(ulong address, string how)
        {
            var at = new VirtualAddress(address);
            if (at.IsKernel && at.IsCanonical(space.Levels) && seen.Add(at.PageStart))
                found.Add(new CodeAddress(at, how));
        }

        foreach (var cpu in cpus)
        {
            if (cpu.LStar is { } lstar)
                Add(lstar, $"LSTAR of vCPU {cpu.Index}");
        }
        Span<byte> gates = stackalloc byte[ExceptionVectors * GateSize];
        foreach (var cpu in cpus)
        {
            if (cpu.Idtr is not { } idtr)
                continue;
            var got = space.Read(new VirtualAddress(idtr.Base), gates);
            for (var vector = 0; (vector + 1) * GateSize <= got; vector++)
            {
                var gate = gates.Slice(vector * GateSize, GateSize);
                Add(Handler(gate), $"IDT vector {vector} of vCPU {cpu.Index}");
            }
        }
        foreach (var cpu in cpus)
        {
            if (cpu.Rip is { } rip)
                Add(rip, $"RIP of vCPU {cpu.Index}");
        }
        return found;
    }

    private static ulong Handler(ReadOnlySpan<byte> gate) =>
        BinaryPrimitives.ReadUInt16LittleEndian(gate)
        | ((ulong)BinaryPrimitives.ReadUInt16LittleEndian(gate[6..]) << 16)
        | ((ulong)BinaryPrimitives.ReadUInt32LittleEndian(gate[8..]) << 32);
}
