using Forengate.Guests;
using Forengate.Memory;

namespace Forengate.Engine;

/// <summary>Looks at where something is to be written before a guest is stopped for it.</summary>
internal static class OutputPlace
{
    /// <summary>VMware keeps one memory in several files of one name: writing one of them spoils the others.</summary>
    private static readonly string[] s_vmware = [".vmem", ".vmss", ".vmsn"];

    /// <summary>Says what is plainly wrong about an output.</summary>
    /// <exception cref="IOException">A folder, no folder around it, or the input itself.</exception>
    public static void Refuse(string target, string output)
    {
        if (output == ImageOutput.StandardOutput)
            return;
        var path = Path.GetFullPath(output);
        if (Directory.Exists(path))
            throw new IOException($"{output} is a folder: name the file to write");
        var folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder))
            throw new IOException($"the folder {folder} does not exist: make it first");
        if (GuestTarget.TryParse(target, out _) || ProcessTarget.TryParse(target, out _))
            return;
        if (Path.GetFullPath(target) == path || UnixFileKind.AreSame(target, output))
            throw new IOException($"{output} is the image itself: name another file to write");
        var isPair = Path.ChangeExtension(path, null) == Path.ChangeExtension(Path.GetFullPath(target), null)
            && s_vmware.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase) && s_vmware.Contains(Path.GetExtension(target), StringComparer.OrdinalIgnoreCase);
        if (isPair)
            throw new IOException($"{output} belongs to the image itself: name another file to write");
    }
}
