using System.Diagnostics;

namespace Forengate.Guests.Tests;

/// <summary>A small file system of its own: memory, or a disk that lies in a file. Unmounted at the end.</summary>
internal sealed class TestDisk : IDisposable
{
    private readonly string _around = Directory.CreateTempSubdirectory("forengate-disk-").FullName;

    private TestDisk() => Folder = Directory.CreateDirectory(Path.Combine(_around, "mounted")).FullName;

    public string Folder { get; }

    /// <summary>Skips the test where this user may not mount.</summary>
    public static TestDisk Memory(int mebibytes)
    {
        var disk = new TestDisk();
        disk.Mount("-t", "tmpfs", "-o", $"size={mebibytes}M", "none");
        return disk;
    }

    /// <summary>Skips the test where this user may not mount, or there are no loop devices.</summary>
    public static TestDisk File(int mebibytes)
    {
        var disk = new TestDisk();
        var image = Path.Combine(disk._around, "image");
        using (var file = System.IO.File.Create(image))
            file.SetLength((long)mebibytes << 20);
        if (Run("/usr/sbin/mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image) != 0)
        {
            disk.Dispose();
            Assert.Skip("mkfs.ext4 is not installed");
        }
        disk.Mount("-o", "loop", image);
        return disk;
    }

    /// <summary>Whoever writes to it waits, until <see cref="Thaw"/>.</summary>
    public void Freeze() => Assert.Equal(0, Run("/usr/sbin/fsfreeze", "-f", Folder));

    public void Thaw() => Run("/usr/sbin/fsfreeze", "-u", Folder);

    private void Mount(params string[] arguments)
    {
        if (Environment.IsPrivilegedProcess && Run("/usr/bin/mount", [.. arguments, Folder]) == 0)
            return;
        Directory.Delete(_around, recursive: true);
        Assert.Skip("only root can mount, and not everywhere");
    }

    private static int Run(string program, params string[] arguments)
    {
        if (!System.IO.File.Exists(program))
            return -1;
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }

    public void Dispose()
    {
        // Lazily: a disk that hung is still written to in the background.
        _ = Run("/usr/bin/umount", "-l", Folder);
        Directory.Delete(_around, recursive: true);
    }
}
