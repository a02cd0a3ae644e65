using Forengate.Cli;

return CommandLine.Run(args);
