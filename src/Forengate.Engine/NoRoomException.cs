namespace Forengate.Engine;

/// <summary>There is less room where a dump is to go than its writer may take. The message is one line: how much would have been needed.</summary>
public sealed class NoRoomException : IOException
{
    public NoRoomException()
    {
    }

    public NoRoomException(string message)
        : base(message)
    {
    }

    public NoRoomException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
