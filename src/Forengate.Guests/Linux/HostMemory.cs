using System.Globalization;

namespace Forengate.Guests;

/// <summary>How much memory the host can give us without swapping or killing something.</summary>
public static class HostMemory
{
    /// <summary>The lesser of MemAvailable (/proc/meminfo) and what the control group still allows, in bytes; null where neither can be read.</summary>
    public static ulong? Available()
    {
        var host = FromMemInfo("MemAvailable:");
        var group = ControlGroupMemory.Left();
        return host is { } a && group is { } b ? Math.Min(a, b) : host ?? group;
    }

    /// <summary>True where the host has taken broken memory out of use (HardwareCorrupted, /proc/meminfo): who touches such a page through a mapping is ended.</summary>
    internal static bool HasBroken() => FromMemInfo("HardwareCorrupted:") > 0;

    /// <summary>Bytes that lie in the host's swap (SwapTotal without SwapFree, /proc/meminfo); 0 where nobody may know.</summary>
    internal static ulong SwapInUse() => FromMemInfo("SwapTotal:") is { } total && FromMemInfo("SwapFree:") is { } free && free < total ? total - free : 0;

    private static ulong? FromMemInfo(string name)
    {
        try
        {
            foreach (var line in File.ReadLines("/proc/meminfo"))
            {
                if (!line.StartsWith(name, StringComparison.Ordinal))
                    continue;
                var digits = line.AsSpan(name.Length).Trim();
                var space = digits.IndexOf(' ');
                if (space > 0 && ulong.TryParse(digits[..space], NumberStyles.None, null, out var kibibytes))
                    return kibibytes << 10;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
        return null;
    }
}
