using System.Diagnostics;

namespace Forengate.Testing;

/// <summary>QEMU and libvirt of Debian 13, which write what this system's are too old for; <c>eng/newer</c> makes and runs them.</summary>
public static class NewerSystem
{
    /// <summary>Environment variable with folders, besides /tmp and the checkout, that commands there are to see (colons between).</summary>
    public const string SharedFolders = "FORENGATE_NEWER_BIND";

    private static readonly string Program = Checkout.PathOf("eng/newer");

    private static readonly Lazy<string> Hindrance = new(() => Ask("--check"));
    private static readonly Lazy<string> Folder = new(() => Ask("--folder"));

    /// <summary>What stands before a command that is to run there. Says where it is, because a private libvirt has a cache folder of its own.</summary>
    public static IReadOnlyList<string> Runner => ["env", $"FORENGATE_NEWER_ROOT={Folder.Value}", Program, "run"];

    /// <summary>Why it is not to be had, in a line; null where it is.</summary>
    public static string? WhyNot => Hindrance.Value.Length == 0 ? null : Hindrance.Value;

    /// <summary>Skips the test, with the reason, where it is not to be had.</summary>
    public static void Require()
    {
        if (Hindrance.Value.Length != 0)
            Assert.Skip(Hindrance.Value);
    }

    /// <summary>Its QEMU as a program of this system.</summary>
    /// <param name="folder">Where to put it.</param>
    public static string Qemu(string folder)
    {
        var path = Path.Combine(folder, "qemu-newer");
        File.WriteAllText(path, $"#!/bin/sh\nexec '{Program}' run qemu-system-x86_64 \"$@\"\n");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    private static string Ask(string what)
    {
        using var process = Process.Start(new ProcessStartInfo(Program, what) { RedirectStandardOutput = true, UseShellExecute = false })!;
        var said = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return said.Trim();
    }
}
