namespace Forengate.Engine;

/// <summary>The view holds no Windows kernel we can read. The message is one line for people: what was searched, what to try.</summary>
public sealed class WindowsNotFoundException : Exception
{
    public WindowsNotFoundException()
    {
    }

    public WindowsNotFoundException(string message)
        : base(message)
    {
    }

    public WindowsNotFoundException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
