using System.Buffers.Binary;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// What runs outside of Windows on the same processors with virtualization-based security: the secure kernel beside it, or the hypervisor below. Page tables, an image, descriptor tables and a stack of
/// its own; nothing of Windows is mapped there, and nothing of it in Windows.
/// </summary>
internal sealed class OutsideWorld
{
    private const int TopEntries = 512, KernelHalf = 256;
    private const uint ImageSize = 0x8000, DebugAt = 0x800, LoopAt = 0x1000, HandlersAt = 0x3000;
    private const int HandlerSize = 16, Vectors = 256;

    // Behind the image: descriptor tables, a control region for GS, a stack.
    private const ulong IdtAt = 0x100000, GdtAt = 0x102000, TssAt = 0x103000, RegionAt = 0x110000, StackAt = 0x120000;
    private const int StackPages = 4;

    private readonly CpuMode _place;
    private readonly KernelTables _tables;
    private readonly AddressSpace _space;
    private readonly ulong _base;
    private readonly SeededRandom _random;

    private OutsideWorld(CpuMode place, KernelTables tables, AddressSpace system, SeededRandom random)
    {
        (_place, _tables, _random) = (place, tables, random);
        _space = new AddressSpace(system.Memory, system.Tables, system.Tables.NewTable());
        var slot = FreeSlot(system, place == CpuMode.SecureKernel ? TopEntries - 24 : TopEntries - 40);
        _base = system.Tables.AddressOf(slot) + 0x40000000;
        var pages = ImageSize / GuestRam.PageSize;
        for (var page = 0U; page < pages; page++)
            _space.Map(_base + page * GuestRam.PageSize, system.Memory.AllocatePage(), page is >= LoopAt / GuestRam.PageSize and < 6 ? Pte.KernelCode : Pte.KernelReadOnly);
        foreach (var (at, count) in new[] { (IdtAt, 1), (GdtAt, 1), (TssAt, 1), (RegionAt, 1), (StackAt, StackPages) })
            _space.MapNew(_base + at, count, Pte.KernelData);
        // The secure kernel maps its own tables as Windows does: a search for tables meets it, too.
        if (place == CpuMode.SecureKernel)
            system.Memory.Ram.WriteU64(_space.Root + (ulong)FreeSlot(_space, KernelHalf + 64) * 8, _space.Root | Pte.KernelTable | Pte.NoExecute);
        WriteImage();
        WriteDescriptors();
    }

    /// <summary>The symbols its image names.</summary>
    private string Symbols => _place == CpuMode.SecureKernel ? "securekernel.pdb" : "hvix64.pdb";

    public static OutsideWorld Build(CpuMode place, KernelTables tables, AddressSpace system, SeededRandom random) => new(place, tables, system, random);

    /// <summary>The processor as it is caught here. The hypervisor leaves Windows' KERNEL_GS_BASE and system-call entry loaded, as it does; the secure kernel has its own.</summary>
    public CpuStart Catch(CpuStart windows)
    {
        var (code, start) = GuestCode.AssembleOutside(_base + LoopAt);
        _space.Write(_base + LoopAt, code);
        var secure = _place == CpuMode.SecureKernel;
        return windows with
        {
            Mode = _place, Cr3 = _space.Root, GdtBase = _base + GdtAt, IdtBase = _base + IdtAt, GsBase = _base + RegionAt, Leave = _base + LoopAt, Rip = start, Rsp = _base + StackAt + StackPages * GuestRam.PageSize - 0x200,
            KernelGsBase = secure ? 0 : windows.GsBase, LStar = secure ? _base + HandlersAt + 0x800 : windows.LStar, CStar = secure ? 0 : windows.CStar, Rflags = 0x46,
        };
    }

    private static int FreeSlot(AddressSpace space, int from)
    {
        var slot = from;
        while ((space.Memory.Ram.ReadU64(space.Root + (ulong)slot * 8) & Pte.Valid) != 0)
            slot--;
        return slot >= KernelHalf ? slot : throw new InvalidOperationException("no top-level slot of the kernel's half is free");
    }

    private void WriteImage()
    {
        var guid = new byte[16];
        _random.Fill(guid);
        var stamp = (uint)_random.Next(int.MaxValue);
        var header = new PeImage
        {
            Size = ImageSize, Timestamp = stamp, EntryPoint = LoopAt, IsDll = false, DebugDirectory = DebugAt,
            Sections = [new PeSection(".text", LoopAt, 0x5000, 0x68000020), new PeSection(".rdata", 0x6000, 0x2000, 0x40000040)],
        }.Header();
        PeImage.Debug(DebugAt, stamp, guid, 1, Symbols).CopyTo(header, (int)DebugAt);
        _space.Write(_base, header);
        for (var vector = 0; vector < Vectors; vector++)
            _space.Write(Handler(vector), [0xF4, 0xEB, 0xFD]);
    }

    private void WriteDescriptors()
    {
        var idt = new byte[Vectors * 16];
        for (var vector = 0; vector < Vectors; vector++)
        {
            var gate = idt.AsSpan(vector * 16, 16);
            var target = Handler(vector);
            BinaryPrimitives.WriteUInt16LittleEndian(gate, (ushort)target);
            BinaryPrimitives.WriteUInt16LittleEndian(gate[2..], Descriptors.KernelCode);
            gate[5] = 0x8E;
            BinaryPrimitives.WriteUInt16LittleEndian(gate[6..], (ushort)(target >> 16));
            BinaryPrimitives.WriteUInt32LittleEndian(gate[8..], (uint)(target >> 32));
        }
        _space.Write(_base + IdtAt, idt);
        _space.Write(_base + GdtAt, Descriptors.Gdt(_tables.Family, _base + TssAt));
        var stack = _base + StackAt + StackPages * GuestRam.PageSize;
        Descriptors.WriteTss(_tables, _space, _base + TssAt, stack, [stack, stack, stack, stack]);
    }

    private ulong Handler(int vector) => _base + HandlersAt + (ulong)(vector * HandlerSize);
}
