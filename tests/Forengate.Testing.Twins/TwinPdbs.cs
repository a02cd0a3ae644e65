using System.Collections.Concurrent;
using Forengate.Lab;

namespace Forengate.Testing.Twins;

/// <summary>PDBs of twins' kernels, written once for each image while the test program runs.</summary>
public static class TwinPdbs
{
    private static readonly ConcurrentDictionary<string, Lazy<string>> Written = new();

    /// <summary>The PDB of the kernel of an image (<see cref="TwinImages.Get"/>): <c>ntkrnlmp.pdb</c> in a folder of its own.</summary>
    public static string Get(string image) => Written.GetOrAdd(image, _ => new Lazy<string>(() =>
    {
        var path = Path.Combine(TwinFolders.New(), "ntkrnlmp.pdb");
        PdbVerb.Run([image, "--out", path]);
        return path;
    })).Value;
}
