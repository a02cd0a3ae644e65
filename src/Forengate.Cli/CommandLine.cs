using System.CommandLine;
using Forengate.Cli.Commands;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli;

/// <summary>The program's verbs. Each command says what it does in one line; none has logic of its own.</summary>
internal static class CommandLine
{
    public static int Run(string[] args)
    {
        // The watchdog is this same program in a process of its own: it must start before anything else can fail.
        if (LiveGuard.TryRun(args, out var exitCode))
            return exitCode;

        var result = Root().Parse(args);
        if (result.Errors.Count > 0)
        {
            Forengate.Cli.Commands.Run.Say(result.Errors.Select(error => error.Message));
            Console.Error.WriteLine("forengate: see 'forengate --help'");
            return ExitCode.WrongCommandLine;
        }
        return result.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private static RootCommand Root()
    {
        var root = new RootCommand("Sees inside Windows guests of this host: debug dumps WinDbg opens, and what their memory holds.");
        foreach (var command in Commands())
            root.Subcommands.Add(command);
        return root;
    }

    private static IEnumerable<Command> Commands()
    {
        yield return GuestsCommand.Create(new Shared());
        yield return InfoCommand.Create(new Shared());
        yield return DumpCommand.Create(new Shared());
        yield return ConvertCommand.Create(new Shared("--from"));
        yield return CheckCommand.Create(new Shared());
        yield return ListCommands.Processes(new Shared());
        yield return ListCommands.Drivers(new Shared());
        yield return SymbolsCommand.Create();
        yield return GuardCommand.Create(new Shared());
        yield return RescueCommand.Create(new Shared());
    }
}
