using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>symbols fetch</c>: the symbols of one kernel, from a symbol server into the local store.</summary>
internal static class SymbolsFetchCommand
{
    public static Command Create(Shared shared)
    {
        var what = new Argument<string>("TARGET|GUIDAGE|KERNEL.exe")
        {
            Description = "Whose symbols: a guest or image, GUID and age as 'info' prints them, or the kernel's file (ntoskrnl.exe) from the guest's disk",
        };
        var version = SymbolsCommand.VersionOption("--build", "File version of the kernel: a PDB does not say it");
        var command = new Command("fetch", "Gets a kernel's symbols from the symbol servers that --symbol-server allows, and keeps what is needed of them in the local store");
        command.Arguments.Add(what);
        command.Options.Add(version);
        shared.AddTargetOptionsTo(command);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            using var progress = new ProgressLine();
            var fetched = SymbolFetch.Run(result.GetRequiredValue(what), shared.TargetOptions(result), result.GetValue(version), progress.AsProgress(), cancellation);
            progress.Clear();
            using var output = Console.OpenStandardOutput();
            new ListingWriter<AddedKernel>(SymbolTables.Added).Write(output, [fetched], result.GetValue(shared.Output));
            return ExitCode.Done;
        }));
        return command;
    }
}
