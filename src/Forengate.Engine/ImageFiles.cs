using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>Image files as targets.</summary>
internal static class ImageFiles
{
    /// <exception cref="ImageFormatException">No such file, no image, or what the user said of it can't be.</exception>
    public static View Open(string path, TargetOptions options, IProgress<JobProgress>? progress, CancellationToken cancellation)
    {
        var open = new ImageOpenOptions
        {
            Format = options.Format,
            RawLayout = Said("--ranges", options.Ranges, RawLayout.Parse),
            RawLowSize = LowMemory(options),
            CacheFolder = Folder(options.CacheFolder),
            Progress = progress is null
                ? null
                : new SynchronousProgress<ImageOpenProgress>(value => progress.Report(new JobProgress(value.What, (ulong)value.Done, (ulong)value.Total))),
        };
        return ImageReader.Open(path, open, cancellation);
    }

    /// <summary>RAM below 4 GiB as the user knows it, in bytes.</summary>
    /// <exception cref="ImageFormatException">What the user said is no size.</exception>
    public static ulong? LowMemory(TargetOptions options) => options.LowMemory is { } low ? Said("--low-memory", low, RawLayout.ParseSize) : null;

    private static T? Said<T>(string option, string? text, Func<string, T> parse)
    {
        try
        {
            return text is null ? default : parse(text);
        }
        catch (FormatException wrong)
        {
            throw new ImageFormatException($"{option}: {wrong.Message}", wrong);
        }
    }

    private static string? Folder(string? path)
    {
        if (path is null)
            return null;
        try
        {
            return Directory.CreateDirectory(path).FullName;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ImageFormatException($"--cache: cannot make the folder {path}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }
}
