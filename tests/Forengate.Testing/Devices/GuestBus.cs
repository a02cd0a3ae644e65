using System.Globalization;
using System.Net.Sockets;

namespace Forengate.Testing.Devices;

/// <summary>
/// A guest's view of its machine, from outside: ports, memory and device registers, read and written through QEMU's qtest socket as the guest's own CPU would. It plays the drivers that a bare
/// guest lacks: QEMU's devices cannot tell, and the guest's CPUs run on meanwhile (TCG).
/// </summary>
public sealed class GuestBus : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;
    private readonly StreamWriter _writer;

    /// <param name="path">The socket of <see cref="Arguments"/>.</param>
    public GuestBus(string path)
    {
        _socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { ReceiveTimeout = 30_000 };
        _socket.Connect(new UnixDomainSocketEndPoint(path));
        var stream = new NetworkStream(_socket, ownsSocket: true);
        (_reader, _writer) = (new StreamReader(stream), new StreamWriter(stream) { AutoFlush = true, NewLine = "\n" });
    }

    /// <summary>What QEMU must be started with.</summary>
    public static string[] Arguments(string path) => ["-qtest", $"unix:{path},server=on,wait=off", "-qtest-log", "/dev/null"];

    public byte In8(ushort port) => (byte)Number($"inb {port}");

    public uint In32(ushort port) => (uint)Number($"inl {port}");

    public void Out8(ushort port, byte value) => Ask($"outb {port} {value}");

    public void Out32(ushort port, uint value) => Ask($"outl {port} {value}");

    public byte Read8(ulong address) => (byte)Number($"readb {address}");

    public ushort Read16(ulong address) => (ushort)Number($"readw {address}");

    public uint Read32(ulong address) => (uint)Number($"readl {address}");

    public ulong Read64(ulong address) => Number($"readq {address}");

    public void Write8(ulong address, byte value) => Ask($"writeb {address} {value}");

    public void Write16(ulong address, ushort value) => Ask($"writew {address} {value}");

    public void Write32(ulong address, uint value) => Ask($"writel {address} {value}");

    public void Write64(ulong address, ulong value) => Ask($"writeq {address} {value}");

    private ulong Number(string line) => ulong.Parse(Ask(line).AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    private string Ask(FormattableString line) => Ask(FormattableString.Invariant(line));

    private ulong Number(FormattableString line) => Number(FormattableString.Invariant(line));

    /// <summary>"OK", "OK 0x1F" or an error; interrupts are told of in between (QEMU, softmmu/qtest.c).</summary>
    private string Ask(string line)
    {
        _writer.WriteLine(line);
        for (; ; )
        {
            var answer = _reader.ReadLine() ?? throw new IOException($"QEMU's qtest socket ended at '{line}'");
            if (answer.StartsWith("IRQ", StringComparison.Ordinal))
                continue;
            return answer.StartsWith("OK", StringComparison.Ordinal) ? answer[2..].Trim() : throw new IOException($"qtest: {line}: {answer}");
        }
    }

    public void Dispose()
    {
        _reader.Dispose();
        _writer.Dispose();
        _socket.Dispose();
    }
}
