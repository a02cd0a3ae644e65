using System.Diagnostics;
using Forengate.PackBuilder;
using Forengate.Symbols;

if (args.Length is not (3 or 6))
{
    Console.Error.WriteLine("usage: PackBuilder ISF.tar.zst KERNELS.csv LAYOUTS.tar.zst PUBLISHED.txt MORE.pack OUT.pack");
    Console.Error.WriteLine("       PackBuilder ISF.tar.zst KERNELS.csv MORE.pack     only full tables, to be put beside others");
    return 2;
}

var clock = Stopwatch.StartNew();
var writer = new PackWriter();
var kernels = FullTables.AddTo(writer, args[0], args[1]);
var layouts = 0;
if (args.Length == 6)
{
    layouts = VersionTables.AddTo(writer, args[2]) + PublishedTables.AddTo(writer, args[3]);
    kernels += FullTables.AddTo(writer, ProfilePack.Open(args[4], File.ReadAllBytes(args[4])));
}
var bytes = writer.ToBytes();
Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(args[^1]))!);
File.WriteAllBytes(args[^1], bytes);
Console.WriteLine($"{kernels} kernels, {layouts} layouts by version, {bytes.Length} bytes, {clock.Elapsed.TotalSeconds:0.0} s");
return 0;
