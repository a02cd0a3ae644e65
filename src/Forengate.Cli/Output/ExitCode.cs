namespace Forengate.Cli.Output;

/// <summary>What the program's exit status says (docs/architecture.md).</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int WrongCommandLine = 2;
    public const int Incomplete = 3;

    /// <summary>What shells expect of a program that Ctrl-C ended: 128 + SIGINT.</summary>
    public const int Cancelled = 130;
}
