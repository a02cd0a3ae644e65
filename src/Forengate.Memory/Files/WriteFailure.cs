namespace Forengate.Memory;

/// <summary>Why a file could not be written, for people.</summary>
public static class WriteFailure
{
    // Linux errno values, which .NET passes on as HResult where it has no name of its own for them.
    private const int ErrorNoSpace = 28, ErrorFileTooLarge = 27, ErrorQuota = 122, ErrorBrokenPipe = 32;
    private const int HResultDiskFull = unchecked((int)0x80070070);

    /// <summary>One line: what failed, on what, what to try.</summary>
    /// <param name="failure">What the write threw.</param>
    /// <param name="path">What was written to.</param>
    /// <param name="done">Bytes written until then.</param>
    /// <param name="size">Size of the whole, in bytes.</param>
    public static string Explain(Exception failure, string path, ulong done, ulong size) => failure.HResult switch
    {
        ErrorNoSpace or HResultDiskFull => $"cannot write {path}: no space left after {Size(done)} of at most {Size(size)}; free space there or name another place",
        ErrorQuota => $"cannot write {path}: the disk quota is used up after {Size(done)} of at most {Size(size)}; name another place",
        ErrorFileTooLarge => $"cannot write {path}: the file system or a limit (ulimit -f) does not allow a file of {Size(size)}; name another place",
        ErrorBrokenPipe => $"cannot write {path}: its reader went away after {Size(done)} of {Size(size)}",
        _ => $"cannot write {path}: {failure.Message.ReplaceLineEndings(" ")}",
    };

    private static string Size(ulong bytes) => bytes >= 1UL << 30 ? $"{bytes / (double)(1UL << 30):0.0} GiB" : $"{bytes / (double)(1UL << 20):0.0} MiB";
}
