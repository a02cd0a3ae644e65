using Forengate.Engine;

// A capture starts its own program as the watchdog, as Forengate's program does.
return LiveGuard.TryRun(args, out var exitCode) ? exitCode : Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args).GetAwaiter().GetResult();
