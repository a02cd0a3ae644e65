using System.Globalization;
using Forengate.ImageReads;
using Forengate.Memory;

// Usage: ImageReads ROUNDS NAME=FILE... : the first is what the others are measured against, and all must hold the same bytes at the pages that are read.
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
if (args.Length < 2 || !int.TryParse(args[0], out var rounds) || rounds < 1 || args.Skip(1).Any(arg => !arg.Contains('=', StringComparison.Ordinal)))
{
    Console.Error.WriteLine("usage: ImageReads ROUNDS NAME=FILE...");
    return 2;
}

var images = args.Skip(1).Select(arg => new MeasuredImage(arg[..arg.IndexOf('=', StringComparison.Ordinal)], arg[(arg.IndexOf('=', StringComparison.Ordinal) + 1)..])).ToList();
try
{
    var end = images.Min(image => image.End());
    // One round that is not counted: the file cache is warm and the code compiled.
    for (var round = 0; round <= rounds; round++)
    {
        foreach (var image in images)
            image.Measure(round + 1, end, counted: round > 0);
    }
}
catch (ImageFormatException wrong)
{
    Console.Error.WriteLine(wrong.Message);
    return 1;
}

var first = images[0];
Console.WriteLine($"{"image",-14} {"file",9} {"open",9} {"4 KiB reads",14} {"against",8} {"all cores",14} {"against",8} {"full pass",12} {"against",8}");
foreach (var image in images)
{
    Console.WriteLine(
        $"{image.Name,-14} {image.FileBytes >> 20,5} MiB {image.Open.TotalMilliseconds,6:n0} ms {image.Reads / 1000,8:n0} k/s   {image.Reads / first.Reads,8:n2} "
        + $"{image.ParallelReads / 1000,8:n0} k/s   {image.ParallelReads / first.ParallelReads,8:n2} {image.Pass / 1e9,7:n2} GB/s {image.Pass / first.Pass,8:n2}");
}
// A dump has its own contexts and debugger block in a few pages; more is another memory.
const double Allowed = 0.001;
var worthless = false;
foreach (var image in images)
{
    var different = image.Digests.Zip(first.Digests, (left, right) => left != right).Count(differs => differs);
    if (different <= first.Digests.Count * Allowed)
        continue;
    Console.Error.WriteLine($"{image.Name} differs from {first.Name} in {different} of {first.Digests.Count} pages: its figures are worth nothing");
    worthless = true;
}
return worthless ? 1 : 0;
