using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Whether a page table is one the Windows kernel runs on: it maps KUSER_SHARED_DATA where every Windows of its kind keeps it, and that page looks like it.</summary>
internal static class SharedPageCheck
{
    /// <summary>Fields ntddk.h fixes for all versions: programs of every age read them at these places.</summary>
    private const int NtMajorVersion = 0x26C;
    private const int NtMinorVersion = 0x270;
    private const int NtSystemRoot = 0x30;
    private const int SystemTime = 0x14;

    /// <returns>Null when it passes (also where the page is mapped but left out of the view), else why not.</returns>
    public static string? Judge(AddressSpace space)
    {
        var at = SharedUserDataReader.AddressIn(space);
        var translation = space.Translate(at);
        if (!translation.Ok)
            return $"does not map KUSER_SHARED_DATA ({translation.Fault} at level {translation.Level})";
        if (!space.TryRead(at + NtMajorVersion, out uint major)
            || !space.TryRead(at + NtMinorVersion, out uint minor)
            || !space.TryRead(at + NtSystemRoot, out uint root))
            return null;

        // Two UTF-16 characters: a drive letter and a colon.
        var (letter, colon) = ((char)(root & 0xFFFF), (char)(root >> 16));
        return major is >= 5 and <= 20 && minor <= 20 && char.IsAsciiLetter(letter) && colon == ':'
            ? null
            : "maps KUSER_SHARED_DATA, but its page holds no Windows version and system root";
    }

    /// <summary>System time in 100 ns since 1601; 0 where unreadable. Tells an older boot's remains from the running system.</summary>
    public static ulong Time(AddressSpace space) =>
        space.TryRead(SharedUserDataReader.AddressIn(space) + SystemTime, out ulong time) ? time : 0;
}
