using System.Diagnostics;
using System.Formats.Tar;

namespace Forengate.PackBuilder;

/// <summary>A zstd-compressed tar of type tables, read as a stream: unpacked it would be a gibibyte.</summary>
internal static class TableArchive
{
    /// <summary>Every file of the archive, in its order.</summary>
    /// <param name="path">The archive.</param>
    /// <param name="each">Takes a file's name in the archive and its content.</param>
    public static void Read(string path, Action<string, Stream> each)
    {
        using var unpacker = Process.Start(new ProcessStartInfo("zstd", ["-dc", "--", path]) { RedirectStandardOutput = true })!;
        using (var archive = new TarReader(unpacker.StandardOutput.BaseStream))
        {
            while (archive.GetNextEntry() is { } entry)
            {
                if (entry.DataStream is not null)
                    each(entry.Name, entry.DataStream);
            }
        }
        unpacker.WaitForExit();
        if (unpacker.ExitCode != 0)
            throw new InvalidDataException($"{path} could not be unpacked");
    }
}
