using System.Diagnostics;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>Somewhere for the host to swap to: a file on a disk, as long as this lives.</summary>
internal sealed class TestSwap : IDisposable
{
    private const int PageOut = 21;

    private readonly string _file = Path.Combine("/var/tmp", "forengate-swap-" + Path.GetRandomFileName());

    private TestSwap()
    {
    }

    /// <summary>Skips the test where this user, or this host, can't.</summary>
    public static TestSwap Require(int mebibytes)
    {
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("only root can have the host swap");
        var swap = new TestSwap();
        if (Run("/usr/bin/fallocate", "-l", $"{mebibytes}M", swap._file) == 0 && OperatingSystem.IsLinux())
        {
            File.SetUnixFileMode(swap._file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            if (Run("/usr/sbin/mkswap", swap._file) == 0 && Run("/usr/sbin/swapon", swap._file) == 0)
                return swap;
        }
        File.Delete(swap._file);
        Assert.Skip("this host does not swap to a file in /var/tmp");
        return swap;
    }

    /// <summary>Has the host swap out a part of a guest's RAM, all of it.</summary>
    public static void Push(GuestMemoryMap map, TestQemu qemu, ulong address, ulong length)
    {
        var section = map.Sections.First(section => section.Start.Value <= address && address + length <= section.End.Value);
        using var process = QemuProcess.TryOf(qemu.ProcessId)!;
        var before = RamUse.SwappedOf(map, qemu.ProcessId);
        TestQemu.WaitFor(
            () =>
            {
                _ = LinuxNative.AdviseProcess(
                    process.Identity.Number, new LinuxNative.IoVector { Base = section.HostAddress + (address - section.Start.Value), Length = length }, PageOut);
                return RamUse.SwappedOf(map, qemu.ProcessId) >= before + length;
            },
            "the host to swap out");
    }

    public void Dispose()
    {
        _ = Run("/usr/sbin/swapoff", _file);
        File.Delete(_file);
    }

    private static int Run(string program, params string[] arguments)
    {
        if (!File.Exists(program))
            return -1;
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.StandardOutput.ReadToEnd();
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }
}
