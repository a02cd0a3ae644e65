using Forengate.Guests.Tests;

// Besides running tests this program plays three parts in them: the watchdog, as Forengate's own program does, a capture that stops a guest, and a guard that holds guests; both are then killed, stopped or
// interrupted from outside.
return args switch
{
    [Forengate.Guests.Watchdog.Verb, .. var rest] => Forengate.Guests.Watchdog.RunAsChild(rest),
    [Victim.Verb, .. var rest] => Victim.Run(rest),
    [SnapshotVictim.Verb, .. var rest] => SnapshotVictim.Run(Forengate.Guests.CaptureMode.Snapshot, rest),
    [SnapshotVictim.StopVerb, .. var rest] => SnapshotVictim.Run(Forengate.Guests.CaptureMode.StopAndCopy, rest),
    [GuardVictim.Verb, .. var rest] => GuardVictim.Run(rest),
    [PortableVictim.Verb, .. var rest] => PortableVictim.Run(rest),
    [PortableVictim.OnceVerb, .. var rest] => PortableVictim.RunOnce(rest),
    _ => Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args).GetAwaiter().GetResult(),
};
