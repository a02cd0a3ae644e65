using System.Security.Cryptography;
using System.Text;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>A guest's name as part of a file's name: letters, digits, dot, dash and underscore stay, all else is %-escaped, so that no name leads out of the folder and no two guests share one.</summary>
internal static class GuestLabel
{
    /// <summary>File names end at 255 bytes; time, reason, code and the ending need their part.</summary>
    private const int Longest = 120;

    private const int HashDigits = 16;

    /// <summary>For example "win10", "qmp%3A%2Frun%2Fvm.sock"; a long one is cut and ends with "~" and the beginning of its SHA-256.</summary>
    public static string Of(GuestTarget guest) => Escape(guest.Kind == GuestTargetKind.Qmp ? $"qmp:{Path.GetFullPath(guest.Name)}" : guest.Name);

    internal static string Escape(string name)
    {
        var label = new StringBuilder();
        foreach (var one in Encoding.UTF8.GetBytes(name))
        {
            var plain = char.IsAsciiLetterOrDigit((char)one) || one == (byte)'_' || (one is (byte)'.' or (byte)'-' && label.Length > 0);
            _ = plain ? label.Append((char)one) : label.Append('%').Append(one.ToString("X2", null));
        }
        if (label.Length <= Longest)
            return label.ToString();
        return $"{label.ToString(0, Longest - HashDigits - 1)}~{Hash(name)}";
    }

    private static string Hash(string name) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))[..HashDigits];

    /// <summary>A short mark of a label for the dump's comment, which has no room for every label.</summary>
    public static string MarkOf(string label) => Hash(label);
}
