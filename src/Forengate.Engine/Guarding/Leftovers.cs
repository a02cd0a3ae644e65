using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>What a guard that was killed in the middle of a dump left in its folder.</summary>
internal static class Leftovers
{
    private const int GuidDigits = 32;

    /// <summary>
    /// Removes dumps that were never finished: by the file's name, by the mark in its header, and because nobody holds its lock, which whoever writes such a file does until it has its own name.
    /// Any other file stays.
    /// </summary>
    /// <returns>Paths and lengths of what is gone.</returns>
    public static IReadOnlyList<(string Path, ulong Bytes)> Remove(string folder)
    {
        var gone = new List<(string, ulong)>();
        if (!LocksHold(folder))
            return gone;
        foreach (var path in Directory.EnumerateFiles(folder, $"*{PartialFile.Infix}*"))
        {
            if (LabelOf(Path.GetFileName(path)) is not { } label || !DumpMark.IsOn(path, label))
                continue;
            try
            {
                using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
                var bytes = (ulong)file.Length;
                File.Delete(path);
                gone.Add((path, bytes));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It is being written, or is not ours to remove.
            }
        }
        return gone;
    }

    /// <summary>The guest's label; null for a name that no unfinished dump of a guard has.</summary>
    private static string? LabelOf(string name)
    {
        var at = name.LastIndexOf(PartialFile.Infix, StringComparison.Ordinal);
        var end = name[(at + PartialFile.Infix.Length)..];
        return end.Length == GuidDigits && end.All(char.IsAsciiHexDigitLower) ? DumpFileName.Parse(name[..at])?.Label : null;
    }

    /// <summary>Some file systems have no locks, and .NET can be told to use none: then nothing proves that a writer is gone.</summary>
    private static bool LocksHold(string folder)
    {
        var trial = Path.Combine(folder, $".forengate-{Guid.NewGuid():N}");
        try
        {
            using var first = new FileStream(trial, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
            try
            {
                using var second = new FileStream(trial, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
                return false;
            }
            catch (IOException)
            {
                return true;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
