using System.Globalization;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>A bugcheck that was told of from outside the guest's memory: by its hypervisor.</summary>
/// <param name="Data">Stop code (never zero) and parameters.</param>
/// <param name="Source">Who told, for people: it stands beside the header's field.</param>
public sealed record AnnouncedBugCheck(BugCheckData Data, string Source)
{
    /// <summary>Says where memory tells otherwise; null where it agrees.</summary>
    /// <param name="found">What <c>KiBugCheckData</c> holds; null for no stop code.</param>
    /// <param name="parameters">Makes a parameter as wide as the guest's words.</param>
    internal string? Difference(BugCheckData? found, Func<ulong, ulong> parameters)
    {
        if (found is null)
            return $"the stop code is {Text(Data)} by {Source}, and KiBugCheckData holds none: the guest had not come so far, or it was not found; the announced one is in the header";
        var same = found.Code == Data.Code && parameters(found.Parameter1) == parameters(Data.Parameter1) && parameters(found.Parameter2) == parameters(Data.Parameter2)
            && parameters(found.Parameter3) == parameters(Data.Parameter3) && parameters(found.Parameter4) == parameters(Data.Parameter4);
        return same ? null : $"the bugcheck is {Text(Data)} by {Source}, {Text(found)} by KiBugCheckData: the announced one is in the header";
    }

    private static string Text(BugCheckData bug) =>
        string.Create(CultureInfo.InvariantCulture, $"0x{bug.Code:x} (0x{bug.Parameter1:x}, 0x{bug.Parameter2:x}, 0x{bug.Parameter3:x}, 0x{bug.Parameter4:x})");
}
