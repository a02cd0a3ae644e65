using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using Forengate.PackBuilder;
using Forengate.Symbols;

if (args.Length != 3)
{
    Console.Error.WriteLine("usage: PackBuilder ISF.tar.zst KERNELS.csv OUT.pack");
    return 2;
}

// kernels.csv: windows_version,os,pdb_guid_age
var versions = File.ReadLines(args[1]).Skip(1)
    .Select(line => line.Split(','))
    .ToDictionary(cells => cells[2], cells => Version.Parse(cells[0]), StringComparer.OrdinalIgnoreCase);
var clock = Stopwatch.StartNew();
var writer = new PackWriter();
var count = 0;
using var unpacker = Process.Start(new ProcessStartInfo("zstd", ["-dc", "--", args[0]]) { RedirectStandardOutput = true })!;
using (var archive = new TarReader(unpacker.StandardOutput.BaseStream))
{
    while (archive.GetNextEntry() is { } entry)
    {
        // "ntkrnlmp.pdb/GUID-AGE.json"
        if (entry.DataStream is null || !entry.Name.StartsWith("ntkrnlmp.pdb/", StringComparison.Ordinal))
            continue;
        var key = Path.GetFileNameWithoutExtension(entry.Name);
        var dash = key.LastIndexOf('-');
        using var tables = new IsfTables(entry.DataStream);
        if (!writer.Add(
            Guid.ParseExact(key[..dash], "N"), uint.Parse(key[(dash + 1)..], CultureInfo.InvariantCulture), versions[key],
            tables.SizeOf, tables.PlaceOf, tables.RvaOf))
        {
            Console.Error.WriteLine($"{key} occurs twice");
            return 1;
        }
        count++;
    }
}
unpacker.WaitForExit();
if (unpacker.ExitCode != 0)
    return 1;
var bytes = writer.ToBytes();
Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(args[2]))!);
File.WriteAllBytes(args[2], bytes);
Console.WriteLine($"{count} kernels, {bytes.Length} bytes, {clock.Elapsed.TotalSeconds:0.0} s");
return 0;
