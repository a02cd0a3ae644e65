using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>The program on a guest of a private libvirt.</summary>
public sealed class LibvirtTests : IDisposable
{
    private readonly LibvirtDaemon daemon = LibvirtDaemon.Start(TwinFolders.New());

    public void Dispose() => daemon.Dispose();

    [Fact]
    public void Guests_are_listed_looked_into_and_dumped()
    {
        Assert.Empty(ForengateProgram.Run("guests", "--connect", daemon.Uri, "--output", "json").Done().Json.EnumerateArray());
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "20348", "--memory", "192", "--low-memory", "96", "--cpus", "2", "--cpu-modes", "mixed"),
            new MachineOptions { LibvirtUri = daemon.Uri, Name = "win-2022" });
        const string target = "libvirt:win-2022";

        var guest = Assert.Single(ForengateProgram.Run("guests", "--connect", daemon.Uri, "--windows", "--output", "json").Done().Json.EnumerateArray());
        Assert.Equal("win-2022", guest.GetProperty("name").GetString());
        Assert.Equal("running", guest.GetProperty("state").GetString());
        Assert.Equal(192, guest.GetProperty("memoryMiB").GetInt32());
        Assert.Equal(2, guest.GetProperty("cpus").GetInt32());
        Assert.StartsWith("10.0.20348", guest.GetProperty("windows").GetString(), StringComparison.Ordinal);

        var windows = ForengateProgram.Run("info", target, "--connect", daemon.Uri, "--output", "json").Done().Json.GetProperty("windows");
        Assert.Equal($"0x{twin.Truth.Kernel.Base:x}", windows.GetProperty("kernelBase").GetString());
        Assert.Equal($"0x{twin.Truth.Paging.SystemPml4:x}", windows.GetProperty("dtb").GetString());
        Assert.Equal(2, windows.GetProperty("processors").GetArrayLength());

        var pids = ForengateProgram.Run("processes", target, "--connect", daemon.Uri, "--output", "json").Done().Json.EnumerateArray().Select(process => process.GetProperty("pid").GetUInt32());
        Assert.Equal(twin.Truth.Processes.Where(process => process.Listed).Select(process => process.Pid).Order(), pids.Order());

        var file = Path.Combine(TwinFolders.New(), "out.dmp");
        ForengateProgram.Run("dump", target, file, "--connect", daemon.Uri).Done();
        ForengateProgram.Run("check", file).Done();
        File.Delete(file);
        Assert.Equal("running", twin.State);
        twin.Machine.Ping();

        var unknown = ForengateProgram.Run("info", "libvirt:win-2023", "--connect", daemon.Uri);
        Assert.Equal(1, unknown.ExitCode);
        Assert.Contains("win-2022", unknown.Reason, StringComparison.Ordinal);
    }
}
