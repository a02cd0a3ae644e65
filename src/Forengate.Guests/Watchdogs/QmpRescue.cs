using System.Text;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>
/// Says <c>cont</c> on the very connection that Forengate used: QEMU takes one client a monitor, and the descriptor outlives the process that opened it. A command that was
/// only half sent is ended first.
/// </summary>
internal sealed unsafe class QmpRescue(Descriptor socket) : GuestRescue
{
    private const int Attempts = 30;
    private const int MostPending = 64 << 20;

    private readonly List<byte> _pending = [];

    public override string? Continue(int hungParent)
    {
        var failure = "QEMU did not answer";
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            // A newline ends a whole command; 0xFF is in no JSON and resets QEMU's parser in the middle of one.
            ReadOnlySpan<byte> end = attempt == 0 ? "\n"u8 : [0xFF, (byte)'\n'];
            var id = $"forengate-watchdog-{attempt}";
            byte[] command = [.. end, .. Encoding.ASCII.GetBytes($$"""{"execute":"cont","id":"{{id}}"}"""), (byte)'\n'];
            if (!Send(command))
                return null;
            switch (Await(id, out var reason))
            {
                case true:
                    return null;
                case null when reason is null:
                    // The connection ended: so did QEMU, and no guest stands still.
                    return null;
                case null:
                    failure = reason;
                    break;
                default:
                    failure = reason ?? failure;
                    Thread.Sleep(50);
                    break;
            }
        }
        return failure;
    }

    private bool Send(byte[] bytes)
    {
        const int NoSignal = 0x4000;
        fixed (byte* start = bytes)
            return LinuxNative.Send(socket.Number, start, (nuint)bytes.Length, NoSignal) == bytes.Length;
    }

    /// <summary>True when done, false when refused or unanswered, null without a reason when the connection ended.</summary>
    private bool? Await(string id, out string? reason)
    {
        reason = null;
        var until = Environment.TickCount64 + 1000;
        Span<byte> buffer = stackalloc byte[4096];
        for (; ; )
        {
            while (TakeLine() is { } line)
            {
                if (Judge(line, id, out reason) is { } verdict)
                    return verdict;
            }
            var left = (int)(until - Environment.TickCount64);
            if (left <= 0)
            {
                reason = "QEMU did not answer";
                return false;
            }
            var poll = new LinuxNative.PollDescriptor { Descriptor = socket.Number, Events = LinuxNative.POLLIN };
            if (LinuxNative.Poll(&poll, 1, left) <= 0)
                continue;
            // The process we watch may wake up and read its monitor before us.
            var got = LinuxNative.ReceiveNow(socket.Number, buffer);
            if (got == -1)
                continue;
            if (got <= 0)
                return null;
            if (_pending.Count < MostPending)
                _pending.AddRange(buffer[..got]);
        }
    }

    private byte[]? TakeLine()
    {
        var newline = _pending.IndexOf((byte)'\n');
        if (newline < 0)
            return null;
        var line = _pending.GetRange(0, newline).ToArray();
        _pending.RemoveRange(0, newline + 1);
        return line;
    }

    private static bool? Judge(byte[] line, string id, out string? reason)
    {
        reason = null;
        try
        {
            using var document = JsonDocument.Parse(line);
            var root = document.RootElement;
            if (root.Text("id") != id)
                return null;
            if (root.TryGetObject("error", out var error))
            {
                reason = error.Text("desc") ?? "refused";
                return false;
            }
            return true;
        }
        catch (JsonException)
        {
            // The rest of an answer that Forengate had half read.
            return null;
        }
    }

    protected override void Dispose(bool disposing) => socket.Dispose();
}
