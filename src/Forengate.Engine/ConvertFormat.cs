using Forengate.Dumps;
using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>A format that targets are converted to: an image of memory, or a dump that needs the Windows in it.</summary>
public sealed record ConvertFormat
{
    private ConvertFormat()
    {
    }

    /// <summary>As <c>--format</c> takes it.</summary>
    public required string Name { get; init; }

    /// <summary>File name endings that stand for it, with the dot.</summary>
    public required IReadOnlyList<string> Extensions { get; init; }

    /// <summary>For images.</summary>
    internal IImageWriter? Writer { get; private init; }

    /// <summary>For dumps: which kind.</summary>
    internal DumpOptions? Dump { get; private init; }

    /// <summary>Every format that we write: the images of the memory room, then Windows' dumps.</summary>
    public static IReadOnlyList<ConvertFormat> All { get; } =
    [
        .. ImageWriters.All.Select(writer => new ConvertFormat { Name = writer.Name, Extensions = writer.Extensions, Writer = writer }),
        new ConvertFormat { Name = "dmp", Extensions = [".dmp"], Dump = new DumpOptions() },
        .. new[] { DumpKind.Bitmap, DumpKind.Active, DumpKind.Kernel, DumpKind.Small }.Select(kind => new ConvertFormat
        {
            Name = $"dmp-{kind.ToString().ToLowerInvariant()}", Extensions = [], Dump = new DumpOptions { Kind = kind },
        }),
    ];

    /// <summary>The format of a name; null when there is none. Kinds of dumps are taken as <c>dump --type</c> calls them, too.</summary>
    public static ConvertFormat? ByName(string name) =>
        All.FirstOrDefault(format => format.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? All.FirstOrDefault(format => format.Dump is { } dump && $"{dump.Kind}".Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>The format that a file's ending stands for; null when it stands for none. The first that claims an ending has it.</summary>
    public static ConvertFormat? ByExtension(string path) =>
        All.FirstOrDefault(format => format.Extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase));
}
