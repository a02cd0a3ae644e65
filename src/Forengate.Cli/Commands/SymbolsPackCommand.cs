using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Symbols;

namespace Forengate.Cli.Commands;

/// <summary><c>symbols pack</c>: many kernels in one file, to hand to other hosts.</summary>
internal static class SymbolsPackCommand
{
    public static Command Create(Shared shared)
    {
        var output = new Argument<string>("OUT.pack") { Description = "The pack to write" };
        var files = new Argument<string[]>("FILE") { Description = "PDBs, ISF files, packs or folders of them, before the local store's kernels", Arity = ArgumentArity.ZeroOrMore };
        var carried = new Option<bool>("--carried") { Description = "Also take the kernels that this program carries" };
        var builds = new Option<string[]>("--build", "-b") { Description = "Only kernels of this build, version or GUID-age (again for more)", HelpName = "BUILD" };
        var sign = new Option<string?>("--sign") { Description = "Sign with this private key (ECDSA P-256, PEM): writes OUT.pack.sig beside the pack", HelpName = "KEY.pem" };
        var limit = new Option<int>("--max-size")
        {
            Description = "Refuse to write a larger pack than this many KiB (default: 1024)",
            HelpName = "KIB",
            DefaultValueFactory = _ => PackMerge.UsualLimit >> 10,
        };
        limit.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > ProfileSource.MaxPackLength >> 10)
                result.AddError($"--max-size takes 1 to {ProfileSource.MaxPackLength >> 10} KiB");
        });
        var command = new Command("pack", "Writes kernels from the local store and from symbol files into one pack that other hosts can use; the same kernels give the same bytes");
        command.Arguments.Add(output);
        command.Arguments.Add(files);
        command.Options.Add(carried);
        command.Options.Add(builds);
        command.Options.Add(sign);
        command.Options.Add(limit);
        command.Options.Add(shared.Store);
        command.Options.Add(shared.Trust);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var path = result.GetRequiredValue(output);
            var written = SymbolShelf.Open(shared.TargetOptions(result)).Pack(
                path, result.GetValue(files) ?? [], result.GetValue(carried), result.GetValue(builds) ?? [], result.GetValue(limit) << 10, result.GetValue(sign), cancellation);
            Console.Out.WriteLine($"{TerminalText.MakeSafe(path)}: {written.Kernels} kernels{(written.Layouts == 0 ? "" : $", {written.Layouts} layouts by version")}, {written.Bytes} bytes"
                + (written.SignatureFile is { } signature ? $", signed: {TerminalText.MakeSafe(signature)}" : ", not signed"));
            return Run.Incomplete(written.Remarks);
        }));
        return command;
    }
}
