using System.Diagnostics;
using Forengate.PackBuilder;
using Forengate.Symbols;

if (args.Length != 5)
{
    Console.Error.WriteLine("usage: PackBuilder ISF.tar.zst KERNELS.csv LAYOUTS.tar.zst PUBLISHED.txt OUT.pack");
    return 2;
}

var clock = Stopwatch.StartNew();
var writer = new PackWriter();
var kernels = FullTables.AddTo(writer, args[0], args[1]);
var layouts = VersionTables.AddTo(writer, args[2]) + PublishedTables.AddTo(writer, args[3]);
var bytes = writer.ToBytes();
Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(args[4]))!);
File.WriteAllBytes(args[4], bytes);
Console.WriteLine($"{kernels} kernels, {layouts} layouts by version, {bytes.Length} bytes, {clock.Elapsed.TotalSeconds:0.0} s");
return 0;
