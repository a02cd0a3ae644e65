using Forengate.Guests.Tests;

// Besides running tests this program plays two parts in them: the watchdog, as Forengate's own program does, and a capture that stops a guest and is then killed, stopped or
// interrupted from outside.
return args switch
{
    [Forengate.Guests.Watchdog.Verb, .. var rest] => Forengate.Guests.Watchdog.RunAsChild(rest),
    [Victim.Verb, .. var rest] => Victim.Run(rest),
    [SnapshotVictim.Verb, .. var rest] => SnapshotVictim.Run(Forengate.Guests.CaptureMode.Snapshot, rest),
    [SnapshotVictim.StopVerb, .. var rest] => SnapshotVictim.Run(Forengate.Guests.CaptureMode.StopAndCopy, rest),
    [PortableVictim.Verb, .. var rest] => PortableVictim.Run(rest),
    [PortableVictim.OnceVerb, .. var rest] => PortableVictim.RunOnce(rest),
    _ => Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args).GetAwaiter().GetResult(),
};
