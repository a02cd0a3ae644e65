namespace Forengate.Symbols;

/// <summary>Bytes are not the profile pack they should be. The message is one line: what is wrong and what to try.</summary>
public sealed class PackFormatException : IOException
{
    public PackFormatException()
    {
    }

    public PackFormatException(string message)
        : base(message)
    {
    }

    public PackFormatException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
