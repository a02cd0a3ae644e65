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
        : base(OneLine(message))
    {
    }

    public ImageFormatException(string message, Exception innerException)
        : base(OneLine(message), innerException)
    {
    }

    /// <summary>Messages quote names out of hostile files.</summary>
    private static string OneLine(string message) => message.AsSpan().ContainsAnyInRange('\0', '\u001F')
        ? string.Create(message.Length, message, static (line, text) =>
        {
            for (var i = 0; i < line.Length; i++)
                line[i] = char.IsControl(text[i]) ? '?' : text[i];
        })
        : message;
}
