using System.Buffers.Binary;
using System.Net.Sockets;

namespace Forengate.Guests.Tests;

/// <summary>
/// A guest of 81 bytes of code that SeaBIOS starts by multiboot: it waits for a letter on COM1, or is given one to begin with, and does what that says.
/// </summary>
internal static class AlarmGuest
{
    /// <summary>pvpanic's ISA port 0x505: "panicked".</summary>
    public const char IsaPanic = 'I';
    /// <summary>The same port: "crashloaded".</summary>
    public const char CrashLoaded = 'L';
    /// <summary>pvpanic-pci as the machine's device 5: "panicked".</summary>
    public const char PciPanic = 'M';
    /// <summary>The ib700 watchdog's port 0x443: runs out at once.</summary>
    public const char Watchdog = 'W';
    /// <summary>For waiting first.</summary>
    public const char Nothing = '\0';

    private const uint LoadAddress = 0x200000;
    private const int CodeAt = 0x40;
    private const int Size = 0x1000;

    private static byte[] Code(char atBoot) =>
    [
        0xB0, (byte)atBoot, // mov al, atBoot
        0x84, 0xC0, // test al, al
        0x75, 0x0E, // jnz dispatch
        0x66, 0xBA, 0xFD, 0x03, // wait: mov dx, 0x3FD
        0xEC, // in al, dx
        0xA8, 0x01, // test al, 1
        0x74, 0xF7, // jz wait
        0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3F8
        0xEC, // in al, dx
        0x3C, (byte)IsaPanic, 0x74, 0x15, // dispatch: cmp al, IsaPanic; je isa
        0x3C, (byte)CrashLoaded, 0x74, 0x15, // cmp al, CrashLoaded; je loaded
        0x3C, (byte)PciPanic, 0x74, 0x1A, // cmp al, PciPanic; je pci
        0x3C, (byte)Watchdog, 0x75, 0xE2, // cmp al, Watchdog; jne wait
        0x66, 0xBA, 0x43, 0x04, // mov dx, 0x443
        0xB0, 0x0F, // mov al, 15 (no time at all)
        0xEE, 0xEB, 0xD9, // out dx, al; jmp wait
        0xB0, 0x01, 0xEB, 0x02, // isa: mov al, 1; jmp port
        0xB0, 0x02, // loaded: mov al, 2
        0x66, 0xBA, 0x05, 0x05, // port: mov dx, 0x505
        0xEE, 0xEB, 0xCC, // out dx, al; jmp wait
        0xB8, 0x10, 0x28, 0x00, 0x80, // pci: mov eax, 0x80002810 (bus 0, device 5, BAR 0)
        0x66, 0xBA, 0xF8, 0x0C, 0xEF, // mov dx, 0xCF8; out dx, eax
        0x66, 0xBA, 0xFC, 0x0C, 0xED, // mov dx, 0xCFC; in eax, dx
        0x83, 0xE0, 0xF0, // and eax, ~15
        0xC6, 0x00, 0x01, // mov byte [eax], 1
        0xEB, 0xB5, // jmp wait
    ];

    /// <summary>Sends a letter to COM1, of which this is the socket.</summary>
    public static void Tell(string socketPath, char letter)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(socketPath));
        socket.Send([(byte)letter]);
        // The letter waits in the device until the guest asks for it; the line may close behind it, once QEMU has it.
        Thread.Sleep(100);
    }

    /// <summary>A flat multiboot image (Multiboot specification 0.6.96, 3.1.3).</summary>
    public static byte[] Image(char atBoot = Nothing)
    {
        const uint Magic = 0x1BADB002;
        const uint AddressesGiven = 1 << 16;
        var image = new byte[Size];
        ReadOnlySpan<uint> header =
            [Magic, AddressesGiven, unchecked(0 - Magic - AddressesGiven), LoadAddress, LoadAddress, LoadAddress + Size, LoadAddress + Size, LoadAddress + CodeAt];
        for (var i = 0; i < header.Length; i++)
            BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(4 * i), header[i]);
        Code(atBoot).CopyTo(image, CodeAt);
        return image;
    }
}
