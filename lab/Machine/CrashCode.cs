using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Forengate.Lab.Machine;

/// <summary>How a twin crashes: by pvpanic's ISA port, by pvpanic-pci, or by a watchdog that runs out.</summary>
public static class CrashCode
{
    /// <summary>Offset in the counter page of the crash that is due: a qword, a <see cref="PanicWay"/>, or 0; with <see cref="AfterAWhile"/> only when the machine has run for some tenths of a second.</summary>
    public const int DueOffset = GuestCode.HotOffset + 8;

    /// <summary>See <see cref="DueOffset"/>.</summary>
    public const ulong AfterAWhile = 0x100;

    /// <summary>The pvpanic-pci's place on bus 0, and where the guest lays its registers: nobody else does, the boot ROM knows no PCI.</summary>
    public const int PanicSlot = 5;
    public const ulong PanicAddress = 0xFEB00000;

    /// <summary>Where in the entry body's room the crash code lies: the kernel loop has none left.</summary>
    public const int Offset = 0x200;

    /// <summary>Does what is due and returns to R9. Clobbers RAX, RDX, RDI, R8. pvpanic: QEMU docs/specs/pvpanic; ib700: hw/watchdog/wdt_ib700.c.</summary>
    public static byte[] Assemble(GuestCodeAddresses at)
    {
        var a = new Assembler(64);
        const int PanicPort = 0x505, WatchdogPort = 0x443, AddressPort = 0xCF8, DataPort = 0xCFC;
        const int Command = 0x04, FirstBar = 0x10, MemorySpace = 2;
        Label now = a.CreateLabel(), pci = a.CreateLabel(), watchdog = a.CreateLabel(), go = a.CreateLabel();
        a.mov(rdi, at.CounterPage);
        a.mov(r8, __qword_ptr[rdi + DueOffset]);
        a.test(r8d, r8d);
        a.jz(go);
        a.test(r8d, (int)AfterAWhile);
        a.jz(now);
        // The time-stamp counter begins at the machine's start and runs as the host's.
        a.rdtsc();
        a.shr(eax, 30);
        a.or(eax, edx);
        a.jz(go);
        a.Label(ref now);
        a.mov(__qword_ptr[rdi + DueOffset], 0);
        a.cmp(r8b, (sbyte)PanicWay.Pci);
        a.je(pci);
        a.ja(watchdog);
        a.mov(edx, PanicPort);
        a.mov(al, 1);
        a.@out(dx, al);
        a.jmp(go);

        a.Label(ref pci);
        foreach (var (register, value) in new[] { (FirstBar, (uint)PanicAddress), (Command, (uint)MemorySpace) })
        {
            a.mov(eax, 0x80000000u | PanicSlot << 11 | (uint)register);
            a.mov(edx, AddressPort);
            a.@out(dx, eax);
            a.mov(eax, value);
            a.mov(edx, DataPort);
            a.@out(dx, eax);
        }
        a.mov(rdi, at.PanicPage);
        a.mov(__byte_ptr[rdi], 1);
        a.jmp(go);

        a.Label(ref watchdog);
        a.mov(edx, WatchdogPort);
        a.mov(al, 15);
        a.@out(dx, al);
        a.Label(ref go);
        a.jmp(r9);
        GuestCode.Assemble(a, at.EntryBody + Offset, GuestCode.BlobSize - Offset, "crash code", out var code);
        return code;
    }
}
