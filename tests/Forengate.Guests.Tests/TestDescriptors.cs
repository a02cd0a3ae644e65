using System.Runtime.InteropServices;

namespace Forengate.Guests.Tests;

internal static partial class TestDescriptors
{
    [LibraryImport("libc", EntryPoint = "dup")]
    public static partial int Duplicate(int descriptor);
}
