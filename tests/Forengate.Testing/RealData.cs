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
            Assert.Skip($"real data '{relative}' is not here");
        return path!;
    }

    private static string? Find()
    {
        var data = Path.GetFullPath(Checkout.PathOf("../shared/data"));
        return Directory.Exists(data) ? data : null;
    }
}
