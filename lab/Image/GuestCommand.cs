namespace Forengate.Lab.Image;

/// <summary>A change the guest makes when told over the serial line: its place in the command table, what it does, to which process (null: to none).</summary>
internal sealed record GuestCommand(int Index, string Action, TwinProcess? Process, ulong ExitTime);
