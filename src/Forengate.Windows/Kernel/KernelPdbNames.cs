namespace Forengate.Windows;

/// <summary>Names of the symbol files of Windows kernels.</summary>
internal static class KernelPdbNames
{
    private static readonly string[] s_x64 = ["ntkrnlmp.pdb", "ntoskrnl.pdb", "ntkrla57.pdb"];
    private static readonly string[] s_x86 = ["ntkrnlpa.pdb", "ntkrpamp.pdb"];

    public static IReadOnlyList<string> All { get; } = [.. s_x64, .. s_x86];

    /// <summary>True for the file name of a kernel's symbols, with or without a path before it.</summary>
    public static bool IsKernel(string name) => All.Contains(FileName(name), StringComparer.OrdinalIgnoreCase);

    /// <summary>True for names that only 32-bit kernels have.</summary>
    public static bool IsX86Only(string name) => s_x86.Contains(FileName(name), StringComparer.OrdinalIgnoreCase);

    private static string FileName(string name) => name[(name.LastIndexOfAny(['\\', '/']) + 1)..];
}
