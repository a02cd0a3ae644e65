using System.Diagnostics;
using Forengate.Symbols;

switch (args)
{
    case ["isf", var source, var target, .. var more] when more.Length <= 1:
    {
        using var pdb = PdbFile.Open(source);
        using var file = File.Create(target);
        IsfWriter.Write(file, pdb, more.Length == 1 ? more[0] : null);
        foreach (var line in pdb.Damage)
            Console.Error.WriteLine($"{source}: {line}");
        return 0;
    }
    case ["time", var source, .. var more] when more.Length <= 1:
    {
        var rounds = more.Length == 1 ? int.Parse(more[0]) : 10;
        var (times, used) = (new double[rounds], new double[rounds]);
        for (var i = 0; i < rounds; i++)
        {
            var (clock, before) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime);
            // As a program does that was given the file: open it, make a profile, ask it.
            var profile = ProfileSource.Open(source).Packs[0][0];
            if (profile.RvaOf(KernelGlobal.PsActiveProcessHead) is null && profile.SizeOf(KernelStruct.EPROCESS) is null)
                Console.Error.WriteLine($"{source} has neither _EPROCESS nor PsActiveProcessHead");
            (times[i], used[i]) = (clock.Elapsed.TotalMilliseconds, (Environment.CpuUsage.TotalTime - before).TotalMilliseconds);
        }
        // Processor time beside the clock's: on a busy machine it is the figure that says something.
        Console.WriteLine($"{Path.GetFileName(source)}, {new FileInfo(source).Length / 1024} KiB: first {Line(times[0], used[0])}, then {Line(Median(times), Median(used))}");
        return 0;

        static string Line(double elapsed, double processor) => $"{elapsed:0} ms ({processor:0} ms of processor time)";

        static double Median(double[] values) => values.Length == 1 ? values[0] : values.Skip(1).Order().ElementAt((values.Length - 1) / 2);
    }
    default:
        Console.Error.WriteLine("usage: SymbolTool isf PDB OUT.json [DATABASE] | time FILE [ROUNDS]");
        return 2;
}
