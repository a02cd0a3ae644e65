using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Forengate.Lab.Machine;

/// <summary>
/// The only code that ever runs in a twin: loops that keep each CPU where it is wanted, and a small server on COM1 that changes the guest on command.
/// </summary>
/// <remarks>
/// No instruction touches a stack, so RSP stays what the plan says, and so do R12 to R15 and XMM6 to XMM9. RBX holds the CPU's index.
/// Return addresses travel in RBP (server) and R9 (its parts). RCX, R10 and R11 are left alone by the server: they carry what SYSRET needs and the user's CR3.
/// </remarks>
public static class GuestCode
{
    /// <summary>Bytes reserved for each of <see cref="GuestCodeImage.KernelLoop"/>, <see cref="GuestCodeImage.EntryBody"/> and <see cref="GuestCodeImage.UserLoop"/>.</summary>
    public const int BlobSize = 0x400;

    /// <summary>Bytes reserved for <see cref="GuestCodeImage.SystemCallEntry"/>.</summary>
    public const int SystemCallEntrySize = 0x80;

    /// <summary>Offset in the counter page of the stamps: 256 qwords; slot n mod 256 holds the newest value n of the rising counter that was written to it.</summary>
    public const int StampOffset = 0x400;

    /// <summary>Number of stamp slots in the counter page, a power of two.</summary>
    public const int StampCount = 256;

    /// <summary>Offset in the counter page of the hot area's switch: a qword, 1 while it is written to.</summary>
    public const int HotOffset = StampOffset + StampCount * 8;

    // A visit to the server costs some microseconds, a spin about a nanosecond: a CPU stopped at random is in its own mode more than 99 times in 100.
    // Where one host thread runs all CPUs, PAUSE is what hands it on: often enough that a round of 64 CPUs is short, seldom enough that work gets done.
    private const int SpinsBetweenPauses = 1 << 14, BumpsBetweenPauses = 1 << 6;
    private const int PausesBetweenVisits = 1 << 6;
    private const int SpinsForACharacter = 1 << 18;

    // 16550: data, line status (bit 0 data ready, bit 5 transmitter empty).
    private const int SerialData = 0x3F8;
    private const int SerialStatus = 0x3FD;

    // Offsets in a command entry, as CommandTable says.
    private const int EntryKind = 0, EntryWriteCount = 4, EntryListHead = 8, EntryListEntry = 16, EntryWrites = 24, EntryState = 32;

    /// <summary>Assembles the four blobs for the addresses given.</summary>
    /// <exception cref="InvalidOperationException">A blob outgrew the room reserved for it, or addresses are too far apart for a near jump.</exception>
    public static GuestCodeImage Assemble(GuestCodeAddresses at)
    {
        ArgumentNullException.ThrowIfNull(at);
        var (kernelLoop, serve) = KernelLoop(at);
        var (entryBody, fromSystemCall, entryMode, leaveForRing0, leaveForRing3) = EntryBody(at, serve);
        return new GuestCodeImage(
            kernelLoop, SystemCallEntry(at, fromSystemCall), entryBody, UserLoop(at),
            KernelModeStart: at.KernelLoop, UserModeStart: at.UserLoop, EntryModeStart: entryMode)
        {
            LeaveForRing0 = leaveForRing0,
            LeaveForRing3 = leaveForRing3,
        };
    }

    /// <summary>
    /// For CPUs that are caught outside of Windows: at <paramref name="address"/> the way out of the boot ROM, then a loop that touches no memory. Commands are not served there.
    /// </summary>
    public static (byte[] Code, ulong Start) AssembleOutside(ulong address)
    {
        var a = new Assembler(64);
        var start = a.CreateLabel();
        a.mov(cr3, rax);
        a.jmp(r9);
        a.Label(ref start);
        Spin(a);
        a.jmp(start);
        var result = Assemble(a, address, BlobSize, "loop outside", out var code);
        return (code, result.GetLabelRIP(start));
    }

    private static (byte[] Code, ulong Serve) KernelLoop(GuestCodeAddresses at)
    {
        var a = new Assembler(64);
        Label first = a.CreateLabel(), others = a.CreateLabel(), round = a.CreateLabel(), bump = a.CreateLabel(), bumpOthers = a.CreateLabel(),
            serve = a.CreateLabel(), served = a.CreateLabel();

        // CPU 0: bump and stamp in each round, serve the line now and then (port accesses are slow and take QEMU's big lock).
        a.mov(rdi, at.CounterPage);
        a.test(ebx, ebx);
        a.jnz(others);
        a.Label(ref first);
        a.lea(rbp, __[served]);
        a.jmp(serve);
        a.Label(ref served);
        a.mov(rdi, at.CounterPage);
        a.mov(ecx, PausesBetweenVisits);
        a.Label(ref round);
        a.mov(esi, BumpsBetweenPauses);
        a.Label(ref bump);
        BumpAndStamp(a, at);
        a.dec(esi);
        a.jnz(bump);
        a.pause();
        a.dec(ecx);
        a.jnz(round);
        a.jmp(first);

        a.Label(ref others);
        a.mov(esi, BumpsBetweenPauses);
        a.Label(ref bumpOthers);
        a.inc(__qword_ptr[rdi + rbx * 8 + 8]);
        a.dec(esi);
        a.jnz(bumpOthers);
        a.pause();
        a.jmp(others);

        Serve(a, at, ref serve);
        var result = Assemble(a, at.KernelLoop, BlobSize, "kernel loop", out var code);
        return (code, result.GetLabelRIP(serve));
    }

    /// <summary>RDI = counter page. Clobbers RAX, RDX, with a hot area R8.</summary>
    private static void BumpAndStamp(Assembler a, GuestCodeAddresses at)
    {
        a.inc(__qword_ptr[rdi + 8]);
        a.mov(rax, __qword_ptr[rdi]);
        a.inc(rax);
        a.mov(__qword_ptr[rdi], rax);
        a.mov(edx, eax);
        a.and(edx, StampCount - 1);
        a.mov(__qword_ptr[rdi + rdx * 8 + StampOffset], rax);
        if (at.HotPages == 0)
            return;
        var cold = a.CreateLabel();
        a.cmp(__qword_ptr[rdi + HotOffset], 0);
        a.je(cold);
        a.mov(edx, eax);
        a.and(edx, at.HotPages - 1);
        a.shl(rdx, 12);
        a.mov(r8, at.HotArea);
        a.mov(__qword_ptr[r8 + rdx], rax);
        a.Label(ref cold);
        a.nop();
    }

    /// <summary>The server: runs in ring 0 on the kernel's tables, returns to RBP. Clobbers RAX, RDX, RSI, RDI, R8, R9.</summary>
    private static void Serve(Assembler a, GuestCodeAddresses at, ref Label serve)
    {
        Label alive = a.CreateLabel(), poll = a.CreateLabel(), leave = a.CreateLabel(), line = a.CreateLabel(), command = a.CreateLabel(),
            ping = a.CreateLabel(), swallow = a.CreateLabel(), bad = a.CreateLabel(), good = a.CreateLabel(), answer = a.CreateLabel(),
            writes = a.CreateLabel(), write = a.CreateLabel(), done = a.CreateLabel(), remove = a.CreateLabel(),
            get = a.CreateLabel(), print = a.CreateLabel(), hex = a.CreateLabel(), hot = a.CreateLabel(), crash = a.CreateLabel(),
            ready = a.CreateLabel(), twin = a.CreateLabel(), ok = a.CreateLabel(), error = a.CreateLabel();

        a.Label(ref serve);
        a.mov(rdi, at.CounterPage);
        a.cmp(__qword_ptr[rdi], 0);
        a.jne(alive);
        BumpAndStamp(a, at);
        a.lea(rsi, __[ready]);
        a.lea(r9, __[poll]);
        a.jmp(print);
        a.Label(ref alive);
        BumpAndStamp(a, at);

        a.Label(ref poll);
        if (at.PanicPage != 0)
            Call(a, at.EntryBody + CrashCode.Offset);
        a.mov(edx, SerialStatus);
        a.@in(al, dx);
        a.test(al, 1);
        a.jnz(line);
        a.Label(ref leave);
        a.jmp(rbp);

        // One whole line is taken in one visit. R8 gathers the index; bit 31 is set until both digits came.
        a.Label(ref line);
        Call(a, get);
        a.cmp(eax, 'P');
        a.je(ping);
        a.cmp(eax, 'C');
        a.je(command);
        if (at.HotPages > 0)
        {
            a.cmp(eax, 'H');
            a.je(hot);
        }
        if (at.PanicPage != 0)
        {
            a.cmp(eax, 'B');
            a.je(crash);
        }
        a.cmp(eax, ' ');
        a.jb(poll);
        a.mov(r8d, 0xFF);
        a.Label(ref swallow);
        Call(a, get);
        a.cmp(eax, '\n');
        a.je(bad);
        a.test(eax, eax);
        a.jns(swallow);
        a.jmp(bad);

        a.Label(ref ping);
        Call(a, get);
        a.lea(rsi, __[twin]);
        a.lea(r9, __[poll]);
        a.jmp(print);

        if (at.HotPages > 0)
        {
            a.Label(ref hot);
            a.xor(r8d, r8d);
            Call(a, hex);
            Call(a, get);
            a.cmp(r8d, 1);
            a.ja(bad);
            a.mov(rdi, at.CounterPage);
            a.mov(__qword_ptr[rdi + HotOffset], r8);
            a.jmp(good);
        }

        if (at.PanicPage != 0)
        {
            a.Label(ref crash);
            a.xor(r8d, r8d);
            Call(a, hex);
            Call(a, get);
            a.lea(eax, __[r8 - 1]);
            a.cmp(eax, (int)PanicWay.Watchdog - 1);
            a.ja(bad);
            a.mov(rdi, at.CounterPage);
            // The answer goes out first: behind it the guest may stand still for ever.
            a.mov(__qword_ptr[rdi + CrashCode.DueOffset], r8);
            a.jmp(good);
        }

        a.Label(ref command);
        a.xor(r8d, r8d);
        Call(a, hex);
        Call(a, hex);
        Call(a, get);
        a.cmp(r8d, 0xFF);
        a.ja(bad);

        a.mov(rdi, at.CommandTable);
        a.cmp(__dword_ptr[rdi], CommandTable.Magic);
        a.jne(bad);
        a.cmp(r8d, __dword_ptr[rdi + 4]);
        a.jae(bad);
        a.mov(eax, r8d);
        a.shl(eax, 6);
        a.lea(rdi, __[rdi + rax + CommandTable.HeaderSize]);
        // A command is good for once: a second insertion of the same entry would tear the list.
        a.cmp(__qword_ptr[rdi + EntryState], 0);
        a.jne(bad);
        a.mov(rdx, __qword_ptr[rdi + EntryListHead]);
        a.mov(rsi, __qword_ptr[rdi + EntryListEntry]);
        a.mov(eax, __dword_ptr[rdi + EntryKind]);
        a.cmp(eax, (int)CommandTable.Remove);
        a.je(remove);
        a.cmp(eax, (int)CommandTable.WriteOnly);
        a.je(writes);
        a.cmp(eax, (int)CommandTable.InsertAtTail);
        a.jne(bad);

        a.mov(rax, __qword_ptr[rdx + 8]);
        a.mov(__qword_ptr[rsi], rdx);
        a.mov(__qword_ptr[rsi + 8], rax);
        a.mov(__qword_ptr[rax], rsi);
        a.mov(__qword_ptr[rdx + 8], rsi);
        a.jmp(writes);

        a.Label(ref remove);
        a.mov(rax, __qword_ptr[rsi]);
        a.mov(rdx, __qword_ptr[rsi + 8]);
        a.mov(__qword_ptr[rdx], rax);
        a.mov(__qword_ptr[rax + 8], rdx);

        a.Label(ref writes);
        a.mov(eax, __dword_ptr[rdi + EntryWriteCount]);
        a.mov(rsi, __qword_ptr[rdi + EntryWrites]);
        a.Label(ref write);
        a.dec(eax);
        a.js(done);
        a.mov(rdx, __qword_ptr[rsi]);
        a.mov(r9, __qword_ptr[rsi + 8]);
        a.mov(__qword_ptr[rdx], r9);
        a.add(rsi, 16);
        a.jmp(write);
        a.Label(ref done);
        a.mov(__qword_ptr[rdi + EntryState], 1);

        a.Label(ref good);
        a.lea(rsi, __[ok]);
        a.jmp(answer);
        a.Label(ref bad);
        a.lea(rsi, __[error]);
        a.Label(ref answer);
        Call(a, print);
        PrintHexDigit(a, 4);
        PrintHexDigit(a, 0);
        a.mov(al, (sbyte)'\n');
        a.@out(dx, al);
        a.jmp(poll);

        // get: next character into EAX, negative when none came in time. Returns to R9; clobbers RDX, RSI.
        a.Label(ref get);
        {
            Label wait = a.CreateLabel(), came = a.CreateLabel();
            a.mov(edx, SerialStatus);
            a.mov(esi, SpinsForACharacter);
            a.Label(ref wait);
            a.@in(al, dx);
            a.test(al, 1);
            a.jnz(came);
            a.dec(esi);
            a.jnz(wait);
            a.mov(eax, -1);
            a.jmp(r9);
            a.Label(ref came);
            a.mov(edx, SerialData);
            a.@in(al, dx);
            a.movzx(eax, al);
            a.jmp(r9);
        }

        // hex: takes a digit into the low four bits of R8; anything else makes R8 too large for good. Returns to R9; uses RDI to keep its own return.
        a.Label(ref hex);
        {
            Label letter = a.CreateLabel(), wrong = a.CreateLabel(), add = a.CreateLabel();
            a.mov(rdi, r9);
            Call(a, get);
            a.or(eax, 0x20);
            a.sub(eax, '0');
            a.cmp(eax, 9);
            a.jbe(add);
            a.sub(eax, 'a' - '0');
            a.cmp(eax, 5);
            a.ja(wrong);
            a.add(eax, 10);
            a.Label(ref add);
            a.shl(r8d, 4);
            a.or(r8d, eax);
            a.jmp(rdi);
            a.Label(ref wrong);
            a.mov(r8d, 0x80000000);
            a.jmp(rdi);
        }

        // print: the zero-ended text at RSI. The FIFO holds 16 characters and QEMU empties it at once; a slow reader costs characters, never the guest.
        a.Label(ref print);
        {
            Label next = a.CreateLabel();
            a.mov(edx, SerialData);
            a.Label(ref next);
            a.mov(al, __byte_ptr[rsi]);
            a.inc(rsi);
            a.@out(dx, al);
            a.cmp(__byte_ptr[rsi], 0);
            a.jne(next);
            a.jmp(r9);
        }

        Text(a, ref ready, "TWIN READY\n\0");
        Text(a, ref twin, "TWIN\n\0");
        Text(a, ref ok, "OK \0");
        Text(a, ref error, "ER \0");
    }

    private static void PrintHexDigit(Assembler a, byte shift)
    {
        var digit = a.CreateLabel();
        a.mov(eax, r8d);
        a.shr(eax, shift);
        a.and(eax, 15);
        a.add(eax, '0');
        a.cmp(eax, '9');
        a.jbe(digit);
        a.add(eax, 'a' - '9' - 1);
        a.Label(ref digit);
        a.mov(edx, SerialData);
        a.@out(dx, al);
    }

    private static (byte[] Code, ulong FromSystemCall, ulong EntryMode, ulong LeaveForRing0, ulong LeaveForRing3) EntryBody(GuestCodeAddresses at, ulong serve)
    {
        var a = new Assembler(64);
        Label fromSystemCall = a.CreateLabel(), backToUser = a.CreateLabel(), entryMode = a.CreateLabel(),
            backToEntry = a.CreateLabel(), ring0 = a.CreateLabel(), ring3 = a.CreateLabel();

        a.Label(ref fromSystemCall);
        Visit(a, at, serve, ref backToUser);
        a.sysretq();

        a.Label(ref entryMode);
        Spin(a);
        a.test(ebx, ebx);
        a.jnz(entryMode);
        Visit(a, at, serve, ref backToEntry);
        a.jmp(entryMode);

        a.Label(ref ring0);
        a.mov(cr3, rax);
        a.jmp(r9);
        a.Label(ref ring3);
        a.mov(cr3, rax);
        a.sysretq();

        var result = Assemble(a, at.EntryBody, at.PanicPage == 0 ? BlobSize : CrashCode.Offset, "entry body", out var code);
        if (at.PanicPage != 0)
            code = [.. code, .. new byte[CrashCode.Offset - code.Length], .. CrashCode.Assemble(at)];
        return (code, result.GetLabelRIP(fromSystemCall), result.GetLabelRIP(entryMode), result.GetLabelRIP(ring0), result.GetLabelRIP(ring3));
    }

    /// <summary>What the system-call entry does: the kernel's GS base and, with KVA shadow, its page tables; then the server; then all of it back.</summary>
    private static void Visit(Assembler a, GuestCodeAddresses at, ulong serve, ref Label back)
    {
        a.swapgs();
        a.mov(__qword_ptr.gs[at.KpcrScratch], rsp);
        if (at.KvaShadow)
        {
            a.mov(r10, cr3);
            a.mov(rax, __qword_ptr.gs[at.KpcrKernelCr3]);
            // Windows keeps the bit there that tells a CPU with PCIDs not to flush. Without PCIDs it is reserved, and TCG hangs on it for ever.
            a.btr(rax, 63);
            a.mov(cr3, rax);
        }
        a.lea(rbp, __[back]);
        a.jmp(serve);
        a.Label(ref back);
        if (at.KvaShadow)
            a.mov(cr3, r10);
        a.swapgs();
    }

    private static byte[] SystemCallEntry(GuestCodeAddresses at, ulong fromSystemCall)
    {
        var a = new Assembler(64);
        a.jmp(fromSystemCall);
        Assemble(a, at.SystemCallEntry, SystemCallEntrySize, "system-call entry", out var code);
        return code;
    }

    private static byte[] UserLoop(GuestCodeAddresses at)
    {
        var a = new Assembler(64);
        var loop = a.CreateLabel();
        a.Label(ref loop);
        Spin(a);
        a.test(ebx, ebx);
        a.jnz(loop);
        a.syscall();
        a.jmp(loop);
        Assemble(a, at.UserLoop, BlobSize, "user loop", out var code);
        return code;
    }

    /// <summary>Passes the time between two visits. Clobbers EAX, EDX.</summary>
    private static void Spin(Assembler a)
    {
        Label round = a.CreateLabel(), spin = a.CreateLabel();
        a.mov(edx, PausesBetweenVisits);
        a.Label(ref round);
        a.mov(eax, SpinsBetweenPauses);
        a.Label(ref spin);
        a.dec(eax);
        a.jnz(spin);
        a.pause();
        a.dec(edx);
        a.jnz(round);
    }

    private static void Call(Assembler a, Label target)
    {
        var next = a.CreateLabel();
        a.lea(r9, __[next]);
        a.jmp(target);
        a.Label(ref next);
    }

    private static void Call(Assembler a, ulong target)
    {
        var next = a.CreateLabel();
        a.lea(r9, __[next]);
        a.jmp(target);
        a.Label(ref next);
    }

    private static void Text(Assembler a, ref Label label, string text)
    {
        a.Label(ref label);
        a.db(System.Text.Encoding.ASCII.GetBytes(text));
    }

    internal static AssemblerResult Assemble(Assembler a, ulong address, int room, string name, out byte[] code)
    {
        using var stream = new MemoryStream();
        var result = a.Assemble(new StreamCodeWriter(stream), address, BlockEncoderOptions.ReturnNewInstructionOffsets);
        code = stream.ToArray();
        if (code.Length > room)
            throw new InvalidOperationException($"guest code: the {name} takes {code.Length:#,0} bytes, {room:#,0} are reserved");
        return result;
    }
}
