using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Windows;

namespace Forengate.Cli.Commands;

/// <summary><c>symbols verify</c>: a pack is judged by its checksums and signature, a target's profile by the target's memory, the store file by file.</summary>
internal static class SymbolsVerifyCommand
{
    public static Command Create(Shared shared)
    {
        var what = new Argument<string?>("PACK|TARGET") { Description = "A profile pack; or an image file, libvirt:NAME or qmp:SOCKET; nothing for the local store", Arity = ArgumentArity.ZeroOrOne };
        var keys = new Option<string[]>("--key") { Description = "Ask for a signature made with this public key (PEM), or another one named so", HelpName = "PUB.pem" };
        var command = new Command("verify", "Checks a profile pack and its signature; or proves the profile of a guest's kernel against the guest's own memory; or checks the local store");
        command.Arguments.Add(what);
        command.Options.Add(keys);
        shared.AddTargetOptionsTo(command);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var options = shared.TargetOptions(result);
            options = options with { TrustedKeys = [.. options.TrustedKeys, .. result.GetValue(keys) ?? []] };
            return result.GetValue(what) is not { } target ? Store(options)
                : PackVerdict.IsPack(target) ? Pack(target, options, result.GetValue(shared.Output))
                : Target(target, options, result.GetValue(shared.Output), cancellation);
        }));
        return command;
    }

    private static int Pack(string path, TargetOptions options, OutputFormat format)
    {
        var facts = PackVerdict.Of(path, options);
        using (var output = Console.OpenStandardOutput())
            new ListingWriter<Fact>(Tables.Facts).Write(output, facts, format);
        return ExitCode.Done;
    }

    private static int Target(string target, TargetOptions options, OutputFormat format, CancellationToken cancellation)
    {
        using var progress = new ProgressLine();
        Examination examination;
        using (examination = Examination.Open(target, options, progress.AsProgress(), cancellation))
            examination.ThrowIfVanished();
        progress.Clear();
        if (examination.Windows.System is not { } system)
            return Run.Fail(examination.Windows.Reason ?? "no Windows found in this memory");
        // What failed first: that is what was asked.
        var checks = system.Proof.Checks.OrderBy(check => check.Verdict switch { ProofVerdict.Failed => 0, ProofVerdict.Passed => 1, _ => 2 }).ToList();
        using (var output = Console.OpenStandardOutput())
            new ListingWriter<ProofCheck>(SymbolTables.Checks).Write(output, checks, format);
        Run.Say([$"{system.Profile}, {system.Profile.Origin}: {system.Proof}", .. examination.Remarks]);
        return system.Proof.Holds
            ? Run.Incomplete([.. examination.Damage, .. examination.Inconsistencies])
            : Run.Incomplete([$"the profile does not fit this memory: {system.Proof.Failed} checks failed", .. examination.Damage, .. examination.Inconsistencies]);
    }

    private static int Store(TargetOptions options)
    {
        var kernels = SymbolShelf.Open(options).Kernels.ToList();
        var problems = kernels.Where(kernel => kernel.Problem is not null).Select(kernel => kernel.Problem!).ToList();
        Console.Out.WriteLine($"{kernels.Count - problems.Count} kernels are sound{(problems.Count == 0 ? "" : $", {problems.Count} files are not")}");
        return Run.Incomplete(problems);
    }
}
