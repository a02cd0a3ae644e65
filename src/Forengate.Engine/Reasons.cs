namespace Forengate.Engine;

/// <summary>Which failures are ordinary: their message is one line that tells a user what failed and what to try.</summary>
public static class Reasons
{
    /// <summary>Bad input, a vanished guest, a full disk, missing rights; everything else is a fault of ours.</summary>
    public static bool IsExpected(Exception failure) =>
        failure is IOException or UnauthorizedAccessException or WindowsNotFoundException or TimeoutException;
}
