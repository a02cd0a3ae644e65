namespace Forengate.Guests;

/// <summary>
/// What a QEMU does when its guest panics, by its own command line (<c>-action panic=…,shutdown=…</c>, <c>-no-shutdown</c>; qemu-options.hx). QEMU can be told another (QMP set-action) and does not
/// tell which one stands.
/// </summary>
/// <param name="Action">"shutdown", "pause", "exit-failure" or "none".</param>
/// <param name="Pauses">True when the guest is left standing: by that action, or because shutting down is a pause.</param>
internal readonly record struct QmpPanicSetting(string Action, bool Pauses)
{
    /// <summary>QEMU's default (system/runstate-action.c).</summary>
    public static readonly QmpPanicSetting Default = new("shutdown", Pauses: false);

    private const int MostBytes = 1 << 20;

    /// <summary>Of a process on this host; null where its command line can't be read.</summary>
    public static QmpPanicSetting? Of(int? process)
    {
        if (process is not { } id)
            return null;
        try
        {
            using var file = File.OpenRead($"/proc/{id}/cmdline");
            var bytes = new byte[MostBytes];
            var got = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            var words = System.Text.Encoding.UTF8.GetString(bytes, 0, got).Split('\0');
            return Path.GetFileName(words[0]).Contains("qemu", StringComparison.Ordinal) ? Read(words) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    internal static QmpPanicSetting Read(ReadOnlySpan<string> words)
    {
        var panic = Default.Action;
        var noShutdown = false;
        // QEMU goes through -action when all words are read, so it wins wherever it stands.
        bool? shutdownPauses = null;
        for (var i = 0; i < words.Length; i++)
        {
            // QEMU takes an option with one dash or two.
            switch (words[i].StartsWith("--", StringComparison.Ordinal) ? words[i][1..] : words[i])
            {
                case "-no-shutdown":
                    noShutdown = true;
                    break;
                case "-action" when i + 1 < words.Length:
                    foreach (var part in words[++i].Split(','))
                    {
                        if (part.StartsWith("panic=", StringComparison.Ordinal))
                            panic = part["panic=".Length..];
                        else if (part.StartsWith("shutdown=", StringComparison.Ordinal))
                            shutdownPauses = part == "shutdown=pause";
                    }
                    break;
            }
        }
        return new QmpPanicSetting(panic, panic == "pause" || (panic == "shutdown" && (shutdownPauses ?? noShutdown)));
    }
}
