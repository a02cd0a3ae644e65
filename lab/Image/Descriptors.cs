using System.Buffers.Binary;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// GDT, TSS and IDT of a processor. Selectors and descriptors as Windows x64 loads them (ReactOS ntoskrnl/include/internal/amd64/ke.h, KGDT64_*; a debugger's <c>dg</c> on a real one).
/// </summary>
internal static class Descriptors
{
    public const ushort KernelCode = 0x10;
    public const ushort KernelData = 0x18;
    public const ushort UserData = 0x2B;
    public const ushort UserCode = 0x33;
    public const ushort TaskState = 0x40;
    /// <summary>Selector of the 32-bit TEB, loaded into FS.</summary>
    public const ushort CmTeb = 0x53;
    public const ushort IdtLimit = 0xFFF;

    /// <summary>0x6F up to Windows 7, 0x57 later.</summary>
    public static ushort GdtLimit(int family) => family < 9200 ? (ushort)0x6F : (ushort)0x57;

    public static byte[] Gdt(int family, ulong tss)
    {
        var gdt = new byte[GdtLimit(family) + 1];
        void Entry(int selector, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(selector), value);
        Entry(KernelCode, 0x00209B00_00000000);
        Entry(KernelData, family < 9200 ? 0x00CF9300_0000FFFFUL : 0x00409300_00000000UL);
        Entry(0x20, 0x00CFFB00_0000FFFF);
        Entry(0x28, 0x00CFF300_0000FFFF);
        Entry(0x30, 0x0020FB00_00000000);
        // A busy 64-bit TSS of 0x68 bytes takes two entries.
        Entry(TaskState, 0x67 | (tss & 0xFF_FFFF) << 16 | 0x8BUL << 40 | (tss >> 24 & 0xFF) << 56);
        Entry(TaskState + 8, tss >> 32);
        Entry(0x50, 0x0040F300_00003C00);
        return gdt;
    }

    public static void WriteTss(KernelTables tables, AddressSpace space, ulong at, ulong rsp0, IReadOnlyList<ulong> stacks)
    {
        var tss = new StructWriter(tables, "_KTSS64", at);
        tss.Set("Rsp0", rsp0);
        for (var i = 0; i < stacks.Count; i++)
            tss.Set($"Ist[{i + 1}]", stacks[i]);
        tss.Set("IoMapBase", 0x68);
        tss.Store(space);
    }

    /// <summary>The traps Windows sets up by name, with interrupt-stack index and the privilege that may raise them; all else goes to the interrupt thunks.</summary>
    private static readonly (int Vector, string Handler, int Ist, int Dpl)[] _traps =
    [
        (0x00, "KiDivideErrorFault", 0, 0), (0x01, "KiDebugTrapOrFault", 4, 0), (0x02, "KiNmiInterrupt", 3, 0), (0x03, "KiBreakpointTrap", 0, 3), (0x04, "KiOverflowTrap", 0, 3),
        (0x05, "KiBoundFault", 0, 0), (0x06, "KiInvalidOpcodeFault", 0, 0), (0x07, "KiNpxNotAvailableFault", 0, 0), (0x08, "KiDoubleFaultAbort", 1, 0), (0x09, "KiNpxSegmentOverrunAbort", 0, 0),
        (0x0A, "KiInvalidTssFault", 0, 0), (0x0B, "KiSegmentNotPresentFault", 0, 0), (0x0C, "KiStackFault", 0, 0), (0x0D, "KiGeneralProtectionFault", 0, 0), (0x0E, "KiPageFault", 0, 0),
        (0x10, "KiFloatingErrorFault", 0, 0), (0x11, "KiAlignmentFault", 0, 0), (0x12, "KiMcheckAbort", 2, 0), (0x13, "KiXmmException", 0, 0), (0x29, "KiRaiseSecurityCheckFailure", 0, 3),
        (0x2C, "KiRaiseAssertion", 0, 3), (0x2D, "KiDebugServiceTrap", 0, 3),
    ];

    /// <summary>Writes the IDT and, at each handler named in it, a loop that halts, so that a fault stands still instead of running on.</summary>
    public static void WriteIdt(KernelTables tables, AddressSpace space, KernelImage kernel, ulong at, bool shadow)
    {
        var idt = new byte[IdtLimit + 1];
        var thunks = kernel.AddressOf(shadow ? "KiIsrThunkShadow" : "KiIsrThunk");
        for (var vector = 0; vector < 256; vector++)
            Gate(vector, thunks + (ulong)vector * 8, 0, 0);
        foreach (var (vector, handler, ist, dpl) in _traps)
        {
            var name = shadow && tables.HasSymbol(handler + "Shadow") ? handler + "Shadow" : handler;
            if (!tables.HasSymbol(name))
                continue;
            Gate(vector, kernel.AddressOf(name), ist, dpl);
            space.Write(kernel.AddressOf(name), [0xF4, 0xEB, 0xFD]);
        }
        space.Write(at, idt);

        void Gate(int vector, ulong target, int ist, int dpl)
        {
            var gate = idt.AsSpan(vector * 16, 16);
            BinaryPrimitives.WriteUInt16LittleEndian(gate, (ushort)target);
            BinaryPrimitives.WriteUInt16LittleEndian(gate[2..], KernelCode);
            gate[4] = (byte)ist;
            gate[5] = (byte)(0x8E | dpl << 5);
            BinaryPrimitives.WriteUInt16LittleEndian(gate[6..], (ushort)(target >> 16));
            BinaryPrimitives.WriteUInt32LittleEndian(gate[8..], (uint)(target >> 32));
        }
    }
}
