namespace Forengate.Memory;

/// <summary>Knows a Windows hibernation file, to decline it with a reason.</summary>
/// <remarks>
/// The first four bytes are the state (_PO_MEMORY_IMAGE.Signature): HIBR when hibernated, WAKE or RSTR when resumed or resuming; upper or lower case by version.
/// </remarks>
internal static class HibernationFile
{
    private static readonly string[] s_signatures = ["HIBR", "RSTR", "WAKE", "LINK"];

    /// <summary>What the file is, as the end of a sentence; null when it is none.</summary>
    public static string? Describe(ReadOnlySpan<byte> head)
    {
        foreach (var signature in s_signatures)
        {
            if (head.Length >= signature.Length && System.Text.Ascii.EqualsIgnoreCase(head[..signature.Length], signature))
            {
                return signature == "HIBR"
                    ? "it is a hibernation file (hiberfil.sys), packed by Windows in a way that is not read; resume the machine and dump it, or unpack it first (Hibr2Bin)"
                    : $"it is a hibernation file (hiberfil.sys) in state {signature}: Windows resumed from it, and its memory is spent";
            }
        }
        return null;
    }
}
