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
        var times = new double[rounds];
        for (var i = 0; i < rounds; i++)
        {
            var clock = Stopwatch.StartNew();
            // As a program does that was given the file: open it, make a profile, ask it.
            var profile = ProfileSource.Open(source).Packs[0][0];
            if (profile.RvaOf(KernelGlobal.PsActiveProcessHead) is null && profile.SizeOf(KernelStruct.EPROCESS) is null)
                Console.Error.WriteLine($"{source} has neither _EPROCESS nor PsActiveProcessHead");
            times[i] = clock.Elapsed.TotalMilliseconds;
        }
        Console.WriteLine($"{Path.GetFileName(source)}, {new FileInfo(source).Length / 1024} KiB: first {times[0]:0} ms, then {times.Skip(1).DefaultIfEmpty(times[0]).Order().ElementAt((rounds - 1) / 2):0} ms (median of {Math.Max(rounds - 1, 1)})");
        return 0;
    }
    default:
        Console.Error.WriteLine("usage: SymbolTool isf PDB OUT.json [DATABASE] | time FILE [ROUNDS]");
        return 2;
}
