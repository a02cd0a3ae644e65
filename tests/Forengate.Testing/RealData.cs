namespace Forengate.Testing;

/// <summary>The folder of real Windows data beside a checkout. It is not part of the project: tests that want it skip where it is missing.</summary>
public static class RealData
{
    /// <summary>Full path of the folder, or null where there is none.</summary>
    public static string? Folder { get; } = Find();

    /// <summary>Full path of a file in the folder; skips the running test where the folder or the file is missing.</summary>
    public static string PathOf(string relative)
    {
        var path = Folder is null ? null : Path.Combine(Folder, relative);
        if (path is null || !File.Exists(path))
            Xunit.Assert.Skip($"real data '{relative}' is not here");
        return path!;
    }

    private static string? Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (!File.Exists(Path.Combine(folder.FullName, "Forengate.slnx")))
                continue;
            var data = Path.GetFullPath(Path.Combine(folder.FullName, "..", "shared", "data"));
            return Directory.Exists(data) ? data : null;
        }
        return null;
    }
}
