using System.Collections.Concurrent;
using Forengate.Dumps;
using Forengate.Guests;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>A clock that stands until it is moved.</summary>
internal sealed class StandingClock : TimeProvider
{
    private DateTimeOffset _now = new(2026, 11, 21, 14, 0, 0, TimeSpan.Zero);

    public void Move(TimeSpan by) => _now += by;

    public override DateTimeOffset GetUtcNow() => _now;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _now.Ticks;
}

/// <summary>A source that tells what a test has it tell.</summary>
internal sealed class ToldAlarms : IAlarmSource
{
    private readonly BlockingCollection<GuestAlarm> _alarms = [];

    public string Name => "told alarms";

    public IReadOnlyList<GuestTarget> Guests { get; init; } = [];

    public IReadOnlyList<string> Remarks { get; set; } = [];

    public bool IsOver => _alarms.IsCompleted;

    public void Tell(GuestAlarm alarm) => _alarms.Add(alarm);

    public void End() => _alarms.CompleteAdding();

    public GuestAlarm? Next(TimeSpan patience, CancellationToken ct) => _alarms.TryTake(out var alarm, (int)Math.Min(patience.TotalMilliseconds, 20), ct) ? alarm : null;

    public IDisposable Lend(GuestTarget target, CancellationToken ct) => new MemoryStream();

    public void Dispose() => _alarms.Dispose();

    public static GuestAlarm Crash(string guest, CrashHold? hold = null, GuestAlarmKind kind = GuestAlarmKind.Panicked, GuestStanding standing = GuestStanding.Stands, string? watchdog = null) => new()
    {
        Target = GuestTarget.Parse($"libvirt:{guest}"),
        Kind = kind,
        At = new DateTimeOffset(2026, 11, 21, 13, 59, 58, TimeSpan.Zero),
        Text = $"{guest} tells {kind}",
        Standing = standing,
        Hold = hold,
        WatchdogAction = watchdog,
    };
}

/// <summary>Makes dumps of a few bytes, when a test lets it.</summary>
internal sealed class FewBytes(string folder) : IGuardDumper
{
    private int _underWay;

    public ConcurrentQueue<DumpOrder> Orders { get; } = new();

    /// <summary>What a dump waits for; null: nothing.</summary>
    public ManualResetEventSlim? Gate { get; init; }

    /// <summary>What is thrown instead; null: nothing.</summary>
    public Func<DumpOrder, Exception?> Failure { get; init; } = static _ => null;

    public int MostAtOnce { get; private set; }

    public WrittenDump Write(DumpOrder order, CancellationToken ct)
    {
        Orders.Enqueue(order);
        lock (folder)
            MostAtOnce = Math.Max(MostAtOnce, ++_underWay);
        try
        {
            Gate?.Wait(ct);
            if (Failure(order) is { } failure)
                throw failure;
            var path = new DumpFileName(order.Label, order.Alarm.At, order.Why, 0xD1).FreePathIn(folder);
            File.WriteAllBytes(path, DumpFiles.Header(order.Guest, order.Label, order.Why));
            return new WrittenDump(path, (ulong)new FileInfo(path).Length, DumpKind.Full, null, new BugcheckReport(0xD1, 1, 2, 3, 4, "a test"), [], []);
        }
        finally
        {
            lock (folder)
                _underWay--;
        }
    }
}

/// <summary>The beginnings of dumps.</summary>
internal static class DumpFiles
{
    private const int CommentAt = 0xFB0, HeaderSize = 0x2000;

    public static byte[] Header(GuestTarget guest, string label, string why) => Header(DumpMark.Of(guest, label, why));

    public static byte[] Header(string comment)
    {
        var header = new byte[HeaderSize];
        "PAGEDU64"u8.CopyTo(header);
        System.Text.Encoding.ASCII.GetBytes(comment)[..Math.Min(127, comment.Length)].CopyTo(header, CommentAt);
        return header;
    }
}
