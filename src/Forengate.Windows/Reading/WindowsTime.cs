namespace Forengate.Windows;

/// <summary>Windows' times: 100 ns since 1601-01-01 UTC.</summary>
internal static class WindowsTime
{
    private static readonly long s_epoch = new DateTime(1601, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks;

    /// <summary>Null for zero (no such time) and for values no calendar holds.</summary>
    public static DateTimeOffset? FromFileTime(ulong time) =>
        time == 0 || time > (ulong)(DateTime.MaxValue.Ticks - s_epoch) ? null : new DateTimeOffset(s_epoch + (long)time, TimeSpan.Zero);

    /// <summary>ISO 8601, or the raw value where no calendar holds it.</summary>
    public static string Show(ulong time) => FromFileTime(time) is { } value ? value.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffffffZ") : $"0x{time:x}";
}
