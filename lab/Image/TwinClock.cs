namespace Forengate.Lab.Image;

/// <summary>The one moment a twin knows: fixed, so that images repeat. Times are FILETIMEs, 100 ns units since 1601.</summary>
internal static class TwinClock
{
    public static DateTime NowUtc { get; } = new(2026, 3, 17, 9, 26, 53, 589, DateTimeKind.Utc);

    public static TimeSpan UpTime { get; } = new(3, 12, 7);

    public static ulong Now => (ulong)NowUtc.ToFileTimeUtc();

    public static ulong Interrupt => (ulong)UpTime.Ticks;

    public static ulong Boot => Now - Interrupt;

    public static DateTime ToUtc(ulong fileTime) => DateTime.FromFileTimeUtc((long)fileTime);
}
