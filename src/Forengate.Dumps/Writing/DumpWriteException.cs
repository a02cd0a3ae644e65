namespace Forengate.Dumps;

/// <summary>A dump could not be written. The message is one line: what failed, on what, what to try. Nothing half-written is left.</summary>
public sealed class DumpWriteException : IOException
{
    public DumpWriteException()
    {
    }

    public DumpWriteException(string message)
        : base(message)
    {
    }

    public DumpWriteException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
