namespace Forengate.Memory;

/// <summary>One image format that a view can be written as. Formats that need to know Windows are written elsewhere.</summary>
public interface IImageWriter
{
    /// <summary>Short name, as <c>--format</c> takes it and as stable in JSON: "elf", "raw", "lime", "kdump-zlib", …</summary>
    string Name { get; }

    /// <summary>File name endings that stand for it, with the dot; the first writer that claims one has it.</summary>
    IReadOnlyList<string> Extensions { get; }

    /// <summary>Writes memory and registers from front to back, so that the output may be a pipe. Where it can seek, holes may be left for zeros.</summary>
    /// <param name="view">Read on as many threads as help.</param>
    /// <param name="output">Stays open.</param>
    /// <param name="options">What the user said of the output.</param>
    /// <param name="progress">Told now and then.</param>
    /// <param name="cancellation">Ends the work; the output is then worth nothing.</param>
    /// <exception cref="IOException">The output can't be written.</exception>
    ImageWriteResult Write(View view, Stream output, ImageWriteOptions options, IProgress<ImageWriteProgress>? progress, CancellationToken cancellation);
}
