using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Forengate.Guests;

/// <summary>A QEMU process as the user points at it where no monitor answers: <c>pid:N</c>.</summary>
/// <param name="Id">Its number on this host.</param>
public sealed record ProcessTarget(int Id)
{
    private const string Prefix = "pid:";

    /// <summary>True when <paramref name="text"/> is <c>pid:</c> and a number.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ProcessTarget? target)
    {
        ArgumentNullException.ThrowIfNull(text);
        target = text.StartsWith(Prefix, StringComparison.Ordinal) && int.TryParse(text.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var id) && id > 0
            ? new ProcessTarget(id)
            : null;
        return target is not null;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Id}");
}
