using System.Text.Json;

namespace Forengate.Guests;

/// <summary>
/// Says <c>cont</c> (or what else is needed) on the very connection that Forengate used: QEMU takes one client a monitor, and the descriptor outlives the process that opened it. A
/// command that was only half sent is ended first.
/// </summary>
internal sealed unsafe class QmpRescue(Descriptor socket) : GuestRescue
{
    private const int Attempts = 30;
    private const int MostPending = 64 << 20;

    /// <summary>Numbers of our commands begin here: Forengate's own begin with 1.</summary>
    private const long FirstId = 1L << 40;

    private readonly List<byte> _pending = [];
    private long _nextId = FirstId;
    private bool _unheard;

    private enum Verdict
    {
        Done,
        Refused,
        Silent,
        Gone,
    }

    public override string? Continue(int hungParent)
    {
        var failure = "QEMU did not answer";
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            switch (Try("cont", null, None, out _, out var reason))
            {
                case Verdict.Done or Verdict.Gone:
                    // A connection that ended means that QEMU did, and no guest stands still.
                    return null;
                case Verdict.Refused:
                    failure = reason ?? failure;
                    Thread.Sleep(50);
                    break;
                default:
                    break;
            }
        }
        return failure;
    }

    protected override JsonElement Ask(string command, Action<Utf8JsonWriter>? arguments, int descriptor)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            switch (Try(command, arguments, descriptor, out var result, out var reason))
            {
                case Verdict.Done:
                    return result;
                case Verdict.Gone:
                    throw new GuestException(GuestFailure.Vanished, "QEMU has ended");
                case Verdict.Refused:
                    throw new QmpRefusedException(command, reason ?? "no reason given");
                default:
                    break;
            }
        }
        throw new GuestException(GuestFailure.MonitorFailed, $"QEMU did not answer '{command}'");
    }

    private Verdict Try(string command, Action<Utf8JsonWriter>? arguments, int descriptor, out JsonElement result, out string? reason)
    {
        // A newline ends a whole command; 0xFF is in no JSON and resets QEMU's parser in the middle of one.
        ReadOnlySpan<byte> end = _unheard ? [0xFF, (byte)'\n'] : "\n"u8;
        var id = _nextId++;
        result = default;
        reason = null;
        byte[] bytes = [.. end, .. QmpConnection.Encode(command, arguments, id)];
        if (descriptor == None ? !Send(bytes) : !LinuxNative.SendWithDescriptor(socket.Number, bytes, descriptor))
            return Verdict.Gone;
        var verdict = Await(id, out result, out reason);
        // Once it was understood, nothing half sent is before us any more.
        _unheard = verdict == Verdict.Silent;
        return verdict;
    }

    private bool Send(byte[] bytes)
    {
        const int NoSignal = 0x4000;
        fixed (byte* start = bytes)
            return LinuxNative.Send(socket.Number, start, (nuint)bytes.Length, NoSignal) == bytes.Length;
    }

    private Verdict Await(long id, out JsonElement result, out string? reason)
    {
        result = default;
        reason = null;
        var until = Environment.TickCount64 + 1000;
        Span<byte> buffer = stackalloc byte[4096];
        for (; ; )
        {
            while (TakeLine() is { } line)
            {
                if (Judge(line, id, out result, out reason) is { } verdict)
                    return verdict;
            }
            var left = (int)(until - Environment.TickCount64);
            if (left <= 0)
                return Verdict.Silent;
            var poll = new LinuxNative.PollDescriptor { Descriptor = socket.Number, Events = LinuxNative.POLLIN };
            if (LinuxNative.Poll(&poll, 1, left) <= 0)
                continue;
            // The process we watch may wake up and read its monitor before us.
            var got = LinuxNative.ReceiveNow(socket.Number, buffer);
            if (got == -1)
                continue;
            if (got <= 0)
                return Verdict.Gone;
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

    private static Verdict? Judge(byte[] line, long id, out JsonElement result, out string? reason)
    {
        result = default;
        reason = null;
        try
        {
            using var document = JsonDocument.Parse(line);
            var root = document.RootElement;
            if (root.Integer("id") != id)
                return null;
            if (root.TryGetObject("error", out var error))
            {
                reason = error.Text("desc") ?? "refused";
                return Verdict.Refused;
            }
            if (root.TryGetProperty("return", out var value))
                result = value.Clone();
            return Verdict.Done;
        }
        catch (JsonException)
        {
            // The rest of an answer that Forengate had half read.
            return null;
        }
    }

    protected override void Dispose(bool disposing) => socket.Dispose();
}
