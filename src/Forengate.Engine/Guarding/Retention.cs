namespace Forengate.Engine;

/// <summary>A dump of a guard's that lies in its folder.</summary>
/// <param name="Path">Where.</param>
/// <param name="At">When its crash was heard of, by its name.</param>
/// <param name="Bytes">Its length: what it can take at most.</param>
internal sealed record KeptDump(string Path, DateTimeOffset At, ulong Bytes);

/// <summary>How many dumps of a guest are kept, and how much of them.</summary>
/// <param name="Keep">At most so many, 1 or more; null: no limit.</param>
/// <param name="KeepBytes">At most so much; null: no limit. The newest stays, however large.</param>
internal sealed record Retention(int? Keep, ulong? KeepBytes)
{
    /// <summary>The dumps of one guest that have to go, oldest first. Never the newest.</summary>
    public IReadOnlyList<KeptDump> Excess(IEnumerable<KeptDump> dumps)
    {
        KeptDump[] newestFirst = [.. dumps.OrderByDescending(dump => dump.At).ThenByDescending(dump => dump.Path.Length).ThenByDescending(dump => dump.Path, StringComparer.Ordinal)];
        var (bytes, kept) = (0UL, 0);
        foreach (var dump in newestFirst)
        {
            bytes += dump.Bytes;
            if (kept > 0 && (kept >= Keep || bytes > KeepBytes))
                break;
            kept++;
        }
        return [.. newestFirst.Skip(kept).Reverse()];
    }

    /// <summary>What a guard wrote of one guest into a folder: by the file's name, and by the mark in its header. Any other file is none of ours.</summary>
    public static IReadOnlyList<KeptDump> Find(string folder, string label)
    {
        var found = new List<KeptDump>();
        foreach (var path in Directory.EnumerateFiles(folder, "*" + DumpFileName.Extension))
        {
            if (DumpFileName.Parse(Path.GetFileName(path)) is { } name && name.Label == label && DumpMark.IsOn(path, label))
                found.Add(new KeptDump(path, name.At, (ulong)new FileInfo(path).Length));
        }
        return found;
    }
}
