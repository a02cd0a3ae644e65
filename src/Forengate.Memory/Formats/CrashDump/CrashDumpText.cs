using System.Text;

namespace Forengate.Memory;

/// <summary>Text fields of crash dump headers.</summary>
internal static class CrashDumpText
{
    /// <summary>ASCII up to the first zero; unprintable bytes as '?'; empty where the field holds nothing but filler.</summary>
    public static string Read(ReadOnlySpan<byte> field)
    {
        var end = field.IndexOf((byte)0);
        if (end >= 0)
            field = field[..end];
        if (field.StartsWith("PAGEPAGE"u8))
            return "";
        var text = new StringBuilder(field.Length);
        foreach (var b in field)
            text.Append(b is >= 0x20 and < 0x7F ? (char)b : '?');
        return text.ToString();
    }
}
