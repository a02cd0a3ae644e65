namespace Forengate.Memory;

/// <summary>
/// A file is not, or not fully, what it claims to be. The message is one line for people: what failed, where, what to try.
/// </summary>
public sealed class ImageFormatException : IOException
{
    public ImageFormatException()
    {
    }

    public ImageFormatException(string message)
        : base(message)
    {
    }

    public ImageFormatException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
