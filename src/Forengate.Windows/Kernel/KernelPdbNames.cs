namespace Forengate.Windows;

/// <summary>Names of the symbol files of Windows kernels.</summary>
internal static class KernelPdbNames
{
    private static readonly string[] s_x64 = ["ntkrnlmp.pdb", "ntoskrnl.pdb", "ntkrla57.pdb"];
    private static readonly string[] s_x86 = ["ntkrnlpa.pdb", "ntkrpamp.pdb"];

    /// <summary>True for the file name of a kernel's symbols.</summary>
    public static bool IsKernel(string name) => s_x64.Contains(name, StringComparer.OrdinalIgnoreCase) || IsX86Only(name);

    /// <summary>True for names that only 32-bit kernels have.</summary>
    public static bool IsX86Only(string name) => s_x86.Contains(name, StringComparer.OrdinalIgnoreCase);
}
