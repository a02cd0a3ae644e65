using System.Text;
using Forengate.Guests;
using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>What a guard writes into the comment of its dumps, by which it knows them again as its own before it deletes one.</summary>
internal static class DumpMark
{
    private const string Beginning = "Forengate guard ";

    /// <summary>For example "Forengate guard 5f0c…: panic of libvirt:win10".</summary>
    public static string Of(GuestTarget guest, string label, string why)
    {
        var ascii = new StringBuilder();
        foreach (var c in guest.ToString())
            ascii.Append(c is >= ' ' and <= '~' ? c : '?');
        return $"{Beginning}{GuestLabel.MarkOf(label)}: {why} of {ascii}";
    }

    /// <summary>True when the file is a dump whose header has the mark of that guest.</summary>
    public static bool IsOn(string path, string label)
    {
        Span<byte> header = stackalloc byte[CrashDumpLayout64.Comment + CrashDumpLayout64.CommentSize];
        try
        {
            // A link or a pipe under one of our names is not ours.
            if (new FileInfo(path) is not { LinkTarget: null, Attributes: var kind } || (kind & (FileAttributes.Directory | FileAttributes.ReparsePoint)) != 0 || UnixFileKind.IsStream(path))
                return false;
            using var file = File.OpenHandle(path);
            if (RandomAccess.Read(file, header, 0) != header.Length)
                return false;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
        var comment = header[..8].SequenceEqual("PAGEDU64"u8) ? header[CrashDumpLayout64.Comment..]
            : header[..8].SequenceEqual("PAGEDUMP"u8) ? header.Slice(CrashDumpLayout32.Comment, CrashDumpLayout32.CommentSize) : [];
        return comment.StartsWith(Encoding.ASCII.GetBytes($"{Beginning}{GuestLabel.MarkOf(label)}:"));
    }
}
