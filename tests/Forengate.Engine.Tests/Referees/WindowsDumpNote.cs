using System.Buffers.Binary;
using System.Text;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Referees;

/// <summary>The dump header that a driver in the guest would hand to QEMU as an ELF note (QEMU dump/win_dump.c reads it), made of a twin's truth.</summary>
internal static class WindowsDumpNote
{
    /// <summary>A part of memory that the twin's firmware keeps: Windows does not count it, so no page of a dump changes. 128 MiB less 128 KiB.</summary>
    private const ulong Place = 0x7FE0000;

    private const int NoteHeader = 24, HeaderSize = 0x2000;
    private const uint MachineAmd64 = 0x8664, CompleteDump = 1;

    /// <summary>The image's plan with the note in its memory.</summary>
    public static BootPlan AddTo(BootPlan plan, TwinTruth truth)
    {
        var note = new byte[NoteHeader + HeaderSize];
        BinaryPrimitives.WriteInt32LittleEndian(note, "VMCOREINFO".Length + 1);
        BinaryPrimitives.WriteInt32LittleEndian(note.AsSpan(4), HeaderSize);
        Encoding.ASCII.GetBytes("VMCOREINFO", note.AsSpan(12));
        Header(note.AsSpan(NoteHeader), truth);
        var pages = new byte[(note.Length + 0xFFF) & ~0xFFF];
        note.CopyTo(pages, 0);
        return plan with { Segments = [.. plan.Segments, new MemorySegment(Place, pages)], VmCoreInfo = new VmCoreInfoNote(Place, (uint)note.Length) };
    }

    private static void Header(Span<byte> header, TwinTruth truth)
    {
        Encoding.ASCII.GetBytes("PAGEDU64", header);
        U32(header, 0x08, 0xF);
        U32(header, 0x0C, (uint)truth.Build.Number);
        U64(header, 0x10, truth.Paging.SystemPml4);
        U64(header, 0x18, truth.Memory.PfnDatabase);
        U64(header, 0x20, truth.Global("PsLoadedModuleList"));
        U64(header, 0x28, truth.Global("PsActiveProcessHead"));
        U32(header, 0x30, MachineAmd64);
        U32(header, 0x34, (uint)truth.Cpus.Count);
        U64(header, 0x80, truth.Kdbg.Va);
        U32(header, 0x88, (uint)truth.Memory.Runs.Count);
        var pages = truth.Memory.Runs.Aggregate(0UL, (sum, run) => sum + run.Pages);
        U64(header, 0x90, pages);
        for (var i = 0; i < truth.Memory.Runs.Count; i++)
        {
            U64(header, 0x98 + (16 * i), truth.Memory.Runs[i].FirstPage);
            U64(header, 0xA0 + (16 * i), truth.Memory.Runs[i].Pages);
        }
        U32(header, 0xF98, CompleteDump);
        U64(header, 0xFA0, HeaderSize + (pages * DumpPages.PageSize));
        U64(header, 0xFA8, truth.Times.SystemTimeRaw);
    }

    private static void U32(Span<byte> header, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(header[offset..], value);

    private static void U64(Span<byte> header, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(header[offset..], value);
}
