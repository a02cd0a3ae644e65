using System.Globalization;

namespace Forengate.Guests;

/// <summary>The unix sockets of this network namespace by their paths, as the kernel lists them for everybody (proc(5), /proc/net/unix).</summary>
internal sealed class UnixSockets
{
    /// <summary>Flag of a socket that listens (include/linux/net.h, __SO_ACCEPTCON).</summary>
    private const uint Listens = 1 << 16;

    /// <summary>enum socket_state of include/uapi/linux/net.h.</summary>
    private const uint Connected = 3;

    // Num RefCount Protocol Flags Type St Inode Path
    private const int FlagsField = 3;
    private const int StateField = 5;
    private const int PathField = 7;

    private readonly HashSet<string> _listening = new(StringComparer.Ordinal);
    private readonly HashSet<string> _connected = new(StringComparer.Ordinal);

    private UnixSockets()
    {
    }

    public static UnixSockets Read()
    {
        var sockets = new UnixSockets();
        try
        {
            foreach (var line in File.ReadLines("/proc/net/unix"))
                sockets.Take(line.Split(' ', PathField + 1, StringSplitOptions.RemoveEmptyEntries));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Then nothing is known to listen, and nothing is connected to.
        }
        return sockets;
    }

    /// <summary>True where somebody listens at a path.</summary>
    public bool IsListening(string path) => _listening.Contains(path);

    /// <summary>True where a client is connected to who listens there, or waits for its turn: an accepted socket has the path of the one that listens.</summary>
    public bool IsInUse(string path) => _connected.Contains(path);

    private void Take(string[] fields)
    {
        if (fields.Length <= PathField || !uint.TryParse(fields[FlagsField], NumberStyles.AllowHexSpecifier, null, out var flags) || !uint.TryParse(fields[StateField], NumberStyles.AllowHexSpecifier, null, out var state))
            return;
        if ((flags & Listens) != 0)
            _listening.Add(fields[PathField]);
        else if (state == Connected)
            _connected.Add(fields[PathField]);
    }
}
