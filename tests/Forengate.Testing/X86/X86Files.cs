using System.Buffers.Binary;
using System.Text;

namespace Forengate.Testing.X86;

/// <summary>Files of a hand-made guest: a 32-bit ELF core as QEMU's dump-guest-memory writes it, a 32-bit complete crash dump.</summary>
public static class X86Files
{
    /// <summary>Runs of the crash dump, as MmPhysicalMemoryBlock has them: first page and pages.</summary>
    private static readonly (uint First, uint Pages)[] s_runs = [(1, 0x9E), (0x100, 0x300)];

    private const int CpuStateSize = 440;

    /// <param name="guest">Its memory, and registers of each processor in the kernel.</param>
    /// <param name="path">Where to.</param>
    /// <param name="cpus">Less than the guest has, or 0 for none.</param>
    public static void WriteElf(X86Guest guest, string path, int? cpus = null)
    {
        var count = cpus ?? guest.ProcessorCount;
        const int note = 12 + 8 + CpuStateSize;
        var start = 0x1000;
        var file = new byte[start + guest.Memory.Length];
        void D(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), value);
        D(0, 0x464C_457F);
        D(4, 0x0001_0101);
        D(16, 0x0003_0004);
        D(20, 1);
        D(28, 52);
        D(40, 52 | (32 << 16));
        D(44, 2);
        var notes = 52 + 64;
        D(52, 4);
        D(56, (uint)notes);
        D(68, (uint)(note * count));
        D(84, 1);
        D(88, (uint)start);
        D(100, (uint)guest.Memory.Length);
        D(104, (uint)guest.Memory.Length);
        for (var i = 0; i < count; i++)
        {
            var at = notes + (i * note);
            D(at, 5);
            D(at + 4, CpuStateSize);
            Encoding.ASCII.GetBytes("QEMU", file.AsSpan(at + 12));
            PutCpu(guest, i, file.AsSpan(at + 20, CpuStateSize));
        }
        guest.Memory.CopyTo(file, start);
        File.WriteAllBytes(path, file);
    }

    private static void PutCpu(X86Guest guest, int i, Span<byte> state)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(state, 1);
        BinaryPrimitives.WriteUInt32LittleEndian(state[4..], CpuStateSize);
        Put(state, 8, 0xC0 + (uint)i);
        Put(state, 8 + (6 * 8), guest.Stack(i) - 0x100);
        Put(state, 8 + (7 * 8), guest.Stack(i) - 0x80);
        Put(state, 8 + (16 * 8), X86Guest.Kernel + 0x3000 + (uint)i);
        Put(state, 8 + (17 * 8), 0x246);
        Segment(state, 0, 8, 0xFFFF_FFFF, 0x00C0_9B00, 0);
        Segment(state, 1, 0x23, 0xFFFF_FFFF, 0x00C0_F300, 0);
        Segment(state, 2, 0x23, 0xFFFF_FFFF, 0x00C0_F300, 0);
        Segment(state, 3, 0x30, 0x3748, 0x0040_9300, guest.Kpcr(i));
        Segment(state, 5, 0x10, 0xFFFF_FFFF, 0x00C0_9300, 0);
        Segment(state, 7, 0x28, 0x20AB, 0x0000_8B00, X86Guest.GdtOf(i) + 0x800);
        Segment(state, 8, 0, 0x3FF, 0, X86Guest.GdtOf(i));
        Segment(state, 9, 0, 0x7FF, 0, X86Guest.GdtOf(i) + 0x400);
        const int control = 8 + (18 * 8) + (10 * 24);
        Put(state, control, 0x8001_003B);
        Put(state, control + 24, guest.Tables[i % guest.Tables.Count]);
        Put(state, control + 32, guest.Pae ? 0x6F8u : 0x6D8u);
    }

    private static void Put(Span<byte> state, int at, uint value) => BinaryPrimitives.WriteUInt64LittleEndian(state[at..], value);

    private static void Segment(Span<byte> state, int index, uint selector, uint limit, uint flags, uint start)
    {
        var at = 8 + (18 * 8) + (index * 24);
        BinaryPrimitives.WriteUInt32LittleEndian(state[at..], selector);
        BinaryPrimitives.WriteUInt32LittleEndian(state[(at + 4)..], limit);
        BinaryPrimitives.WriteUInt32LittleEndian(state[(at + 8)..], flags);
        Put(state, at + 16, start);
    }

    /// <summary>A complete dump as Windows lays it out, with what a caller wants changed in the header.</summary>
    public static void WriteCrashDump(X86Guest guest, string path, Action<byte[]>? change = null)
    {
        var header = new byte[0x1000];
        for (var i = 0; i < header.Length; i += 4)
            Encoding.ASCII.GetBytes("PAGE", header.AsSpan(i));
        void D(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(at), value);
        D(4, 0x504D_5544);
        D(8, 0xF);
        D(0xC, guest.Build.Build);
        D(0x10, guest.Tables[0]);
        D(0x14, X86Guest.PfnDatabase);
        D(0x18, X86Guest.ModuleHead);
        D(0x1C, X86Guest.ProcessHead);
        D(0x20, 0x14C);
        D(0x24, (uint)guest.ProcessorCount);
        for (var i = 0x28; i < 0x3C; i += 4)
            D(i, 0);
        header[0x3C] = 0;
        header[0x5C] = (byte)(guest.Pae ? 1 : 0);
        header[0x5D] = 0;
        D(0x60, X86Guest.Kdbg);
        D(0x64, (uint)s_runs.Length);
        D(0x68, (uint)s_runs.Sum(run => run.Pages));
        for (var i = 0; i < s_runs.Length; i++)
        {
            D(0x6C + (i * 8), s_runs[i].First);
            D(0x70 + (i * 8), s_runs[i].Pages);
        }
        guest.At(guest.Context(0))[..0x2CC].CopyTo(header.AsSpan(0x320));
        header.AsSpan(0x7D0, 0x50).Clear();
        D(0x7D0, 0x8000_0003);
        D(0x7D4, 1);
        D(0x7DC, X86Guest.Kernel + 0x2000);
        header[0x820] = 0;
        D(0x8A0, 0);
        D(0xF88, 1);
        D(0xF94, 1);
        D(0xF98, 0x110);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(0xFA0), 0x1000 + ((ulong)s_runs.Sum(run => run.Pages) << 12));
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(0xFB8), 36_000_000_000);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(0xFC0), X86Guest.Time);
        change?.Invoke(header);
        using var file = File.Create(path);
        file.Write(header);
        foreach (var (first, pages) in s_runs)
            file.Write(guest.Memory.AsSpan((int)first << 12, (int)pages << 12));
    }
}
