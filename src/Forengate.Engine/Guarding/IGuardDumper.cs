using Forengate.Dumps;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>A dump that is to be made.</summary>
/// <param name="Alarm">What was heard.</param>
/// <param name="Guest">Of whom.</param>
/// <param name="Why">In a word, for names and journals.</param>
internal sealed record DumpOrder(GuestAlarm Alarm, GuestTarget Guest, string Why)
{
    /// <summary>The guest in file names.</summary>
    public string Label { get; } = GuestLabel.Of(Guest);
}

/// <summary>A dump that was made.</summary>
/// <param name="Path">Where it lies.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Kind">What it is, which may be less than was asked for.</param>
/// <param name="StoodStill">How long a running guest was stopped for it.</param>
/// <param name="Bugcheck">What its header says.</param>
/// <param name="Gaps">What a debugger will miss.</param>
/// <param name="Remarks">What else is worth telling.</param>
internal sealed record WrittenDump(
    string Path, ulong Bytes, DumpKind Kind, TimeSpan? StoodStill, BugcheckReport Bugcheck, IReadOnlyList<string> Gaps, IReadOnlyList<string> Remarks);

/// <summary>Makes the dumps of a guard.</summary>
internal interface IGuardDumper
{
    /// <exception cref="NoRoomException">There is not enough room for any kind of dump.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; nothing is left of it.</exception>
    /// <exception cref="Exception">It failed; nothing is left of it.</exception>
    WrittenDump Write(DumpOrder order, CancellationToken ct);
}
