namespace Forengate.Testing;

/// <summary>The checkout that the running tests were built in.</summary>
public static class Checkout
{
    /// <summary>Full path of the folder that holds Forengate.slnx. Throws where the tests run outside any checkout.</summary>
    public static string Root { get; } = Find() ?? throw new DirectoryNotFoundException($"no Forengate.slnx above {AppContext.BaseDirectory}");

    /// <summary>Full path of a file or folder of the checkout.</summary>
    public static string PathOf(string relative) => Path.Combine(Root, relative);

    private static string? Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "Forengate.slnx")))
                return folder.FullName;
        return null;
    }
}
