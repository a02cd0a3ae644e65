using System.Globalization;

namespace Forengate.Guests;

/// <summary>What /proc/PID/stat says of a process or thread (proc(5)).</summary>
/// <param name="State">Field 3: 'R', 'S', 'T', 'Z' …</param>
/// <param name="StartTime">Field 22, in clock ticks since the host's start: with the number it names a process for as long as the host runs.</param>
internal readonly record struct ProcessStat(char State, ulong StartTime)
{
    // Counted from the end of the name (field 2), which is in parentheses and may hold anything, parentheses and blanks included.
    private const int StateField = 3 - 3;
    private const int StartTimeField = 22 - 3;

    /// <summary>Ended, and not yet waited for by its parent.</summary>
    public bool HasEnded => State is 'Z' or 'X';

    /// <param name="folder">"/proc/PID" or "/proc/PID/task/TID".</param>
    /// <returns>Null when there is none, or it may not be read.</returns>
    public static ProcessStat? Read(string folder)
    {
        try
        {
            return Parse(File.ReadAllText(folder + "/stat"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public static ProcessStat? Parse(string line)
    {
        var fields = line[(line.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return fields.Length > StartTimeField && fields[StateField].Length == 1
            && ulong.TryParse(fields[StartTimeField], NumberStyles.None, CultureInfo.InvariantCulture, out var start) ? new ProcessStat(fields[StateField][0], start) : null;
    }
}
