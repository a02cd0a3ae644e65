using System.Runtime.InteropServices;

namespace Forengate.Symbols;

/// <summary>Compression libraries of the system, loaded when a packed symbol file is first met: a missing one is an error that names its package.</summary>
internal static class SystemLibrary
{
    /// <summary>Loads a library by its soname.</summary>
    /// <exception cref="SymbolFormatException">It is not installed.</exception>
    public static nint Load(string soname, string package) => NativeLibrary.TryLoad(soname, out var handle)
        ? handle
        : throw new SymbolFormatException($"this file needs the library {soname}, which is not installed: install the package {package} (apt-get install {package}), or unpack the file first");
}
