using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// Compression libraries of the system, loaded when an image first needs one. Each is a package that most hosts have and none must have: a missing one is an error that names it.
/// </summary>
internal static class SystemLibrary
{
    /// <summary>Loads a library by its soname.</summary>
    /// <param name="soname">With its ABI's number: <c>libzstd.so.1</c>.</param>
    /// <param name="package">The Debian package it comes in.</param>
    /// <param name="what">What needs it, for the message: "zstd".</param>
    /// <exception cref="ImageFormatException">It is not installed.</exception>
    public static nint Load(string soname, string package, string what) => NativeLibrary.TryLoad(soname, out var handle)
        ? handle
        : throw new ImageFormatException($"{what} needs the library {soname}, which is not installed: install the package {package} (apt-get install {package})");
}
