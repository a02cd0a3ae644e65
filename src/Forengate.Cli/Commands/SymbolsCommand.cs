using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Symbols;

namespace Forengate.Cli.Commands;

/// <summary><c>symbols</c>: which kernels are known and from where; more of them; what they say.</summary>
internal static class SymbolsCommand
{
    public static Command Create()
    {
        var command = new Command(
            "symbols",
            "Lists, adds, fetches, shows, checks and packs what is known of Windows kernels (where each build keeps its fields), for guests whose kernel this program does not know by itself");
        command.Subcommands.Add(List(new Shared()));
        command.Subcommands.Add(Add(new Shared()));
        command.Subcommands.Add(SymbolsFetchCommand.Create(new Shared()));
        command.Subcommands.Add(SymbolsShowCommand.Create(new Shared()));
        command.Subcommands.Add(SymbolsVerifyCommand.Create(new Shared()));
        command.Subcommands.Add(SymbolsPackCommand.Create(new Shared()));
        return command;
    }

    /// <summary>"10.0.19041.329" or "19041".</summary>
    internal static Option<Version?> VersionOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "VERSION",
        CustomParser = result =>
        {
            var word = result.Tokens[0].Value;
            if (Version.TryParse(word, out var version) && version.Major <= ushort.MaxValue && version.Minor <= ushort.MaxValue && version.Build <= ushort.MaxValue && version.Revision <= ushort.MaxValue)
                return version;
            result.AddError($"{name} does not take '{word}': say the kernel's file version, like 10.0.19041.329");
            return null;
        },
    };

    private static Command List(Shared shared)
    {
        var command = new Command("list", "Lists every kernel that is known, the source that is asked first on top");
        shared.AddSymbolsTo(command);
        command.Options.Add(shared.Output);
        var layouts = new Option<bool>("--layouts") { Description = "List what is known by version only instead: types without globals, hypotheses for kernels that are in no source" };
        command.Options.Add(layouts);
        command.SetAction(result => Run.Guarded(_ =>
        {
            var shelf = SymbolShelf.Open(shared.TargetOptions(result));
            if (result.GetValue(layouts))
            {
                using var lines = Console.OpenStandardOutput();
                new ListingWriter<VersionLayout>(SymbolTables.Layouts).Write(lines, [.. shelf.Layouts], result.GetValue(shared.Output));
                return ExitCode.Done;
            }
            var kernels = shelf.Kernels.ToList();
            using (var output = Console.OpenStandardOutput())
                new ListingWriter<KnownKernel>(SymbolTables.Kernels).Write(output, kernels, result.GetValue(shared.Output));
            return Run.Incomplete([.. kernels.Where(kernel => kernel.Problem is not null).Select(kernel => kernel.Problem!)]);
        }));
        return command;
    }

    private static Command Add(Shared shared)
    {
        var files = new Argument<string[]>("FILE") { Description = "A PDB, an ISF file (.json, .xz, .zst), a profile pack, or a folder of them", Arity = ArgumentArity.OneOrMore };
        var version = VersionOption("--build", "File version of the one kernel added: a PDB does not say it");
        var command = new Command("add", "Puts the kernels of symbol files into the local store: from then on every command knows them, without a network");
        command.Arguments.Add(files);
        command.Options.Add(version);
        command.Options.Add(shared.Store);
        command.Options.Add(shared.Trust);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var added = SymbolShelf.Open(shared.TargetOptions(result)).Add(result.GetRequiredValue(files), result.GetValue(version), cancellation).ToList();
            using (var output = Console.OpenStandardOutput())
                new ListingWriter<AddedKernel>(SymbolTables.Added).Write(output, added, result.GetValue(shared.Output));
            if (added.Count == 0)
                return Run.Fail("there are no symbol files in what was named: give a PDB, an ISF file or a profile pack");
            var refused = added.Where(one => one.StoredAs is null).Select(one => $"{one.Source}: {one.Outcome}").ToList();
            return refused.Count == added.Count ? Run.Fail(refused[0]) : Run.Incomplete(refused);
        }));
        return command;
    }
}
