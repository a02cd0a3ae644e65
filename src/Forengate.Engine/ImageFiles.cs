using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>Image files as targets.</summary>
internal static class ImageFiles
{
    /// <exception cref="ImageFormatException">No such file, no image, or what the user said of it can't be.</exception>
    public static View Open(string path, TargetOptions options, CancellationToken cancellation)
    {
        RawLayout? layout;
        try
        {
            layout = options.Ranges is { } ranges ? RawLayout.Parse(ranges) : null;
        }
        catch (FormatException wrong)
        {
            throw new ImageFormatException($"--ranges: {wrong.Message}", wrong);
        }
        return ImageReader.Open(path, new ImageOpenOptions { Format = options.Format, RawLayout = layout }, cancellation);
    }
}
