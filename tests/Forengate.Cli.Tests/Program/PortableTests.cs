using System.Net;
using System.Net.Sockets;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>The program on a guest of a libvirt that it reaches over TCP only, as one of another host.</summary>
public sealed class PortableTests
{
    /// <summary>An address of loopback that is not this host to the program.</summary>
    private const string Elsewhere = "127.0.0.2";

    private const string Here = "127.0.0.1";

    [Fact]
    public void A_guest_behind_TCP_is_looked_into_and_dumped_without_a_mark()
    {
        using var daemon = Listen(Elsewhere, out var uri);
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "20348", "--memory", "192", "--low-memory", "96", "--cpus", "2", "--cpu-modes", "mixed"),
            new MachineOptions { LibvirtUri = daemon.Uri, Name = "win-far" });
        const string target = "libvirt:win-far";
        // This machine's RAM is split as no real one's: who asks nobody is told where.
        Assert.Contains("--low-memory", ForengateProgram.Run("info", target, "-c", uri, "--means", "libvirt").Reason, StringComparison.Ordinal);
        string[] peeked = [target, "-c", uri, "--means", "libvirt", "--low-memory", "96M", "--output", "json"];
        foreach (var consistency in (string[])["auto", "live"])
        {
            var pids = ForengateProgram.Run(["processes", .. peeked, "--consistency", consistency]).Done().Json.EnumerateArray().Select(process => process.GetProperty("pid").GetUInt32());
            Assert.Equal(twin.Truth.Processes.Where(process => process.Listed).Select(process => process.Pid).Order(), pids.Order());
        }

        var file = Path.Combine(TwinFolders.New(), "out.dmp");
        var plan = ForengateProgram.Run("dump", target, "--plan", "-c", uri, "--output", "json").Done().Json;
        Assert.Equal("libvirt's own dump", plan.GetProperty("method").GetString());
        var dumped = ForengateProgram.Run("dump", target, file, "-c", uri, "--output", "json").Done().Json;
        Assert.Equal("one instant", dumped.GetProperty("consistency").GetString());
        Assert.All(dumped.GetProperty("processors").EnumerateArray(), processor => Assert.Equal(System.Text.Json.JsonValueKind.Number, processor.GetProperty("cpu").ValueKind));
        ForengateProgram.Run("check", file).Done();
        Assert.DoesNotContain("custom monitor", LibvirtDomain.Virsh(daemon.Uri, ["dominfo", "win-far"]), StringComparison.Ordinal);

        // Peeks and the monitor's text have no KERNEL_GS_BASE: a CPU in user mode is told as not matched.
        var partial = ForengateProgram.Run("dump", target, file, "-c", uri, "--means", "monitor");
        Assert.Equal(3, partial.ExitCode);
        Assert.Contains("KERNEL_GS_BASE", partial.Errors, StringComparison.Ordinal);
        Assert.Contains("the guest stood still for", partial.Output, StringComparison.Ordinal);
        Assert.NotEqual(1, ForengateProgram.Run("check", file).ExitCode);
        Assert.Contains("custom monitor", LibvirtDomain.Virsh(daemon.Uri, ["dominfo", "win-far"]), StringComparison.Ordinal);
        File.Delete(file);
        Assert.Equal("running", twin.State);
        twin.Machine.Ping();
    }

    [Fact]
    public void Who_may_not_read_QEMU_is_served_by_libvirt()
    {
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("only root can become another user");
        // A session's socket is its user's own; over TCP others reach it, and it is this host still.
        using var daemon = Listen(Here, out var uri);
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "20348", "--memory", "128"), new MachineOptions { LibvirtUri = daemon.Uri, Name = "win-other" });
        var output = Directory.CreateTempSubdirectory("forengate-other-").FullName;
        try
        {
            System.Diagnostics.Process.Start("/bin/chmod", ["777", output]).WaitForExit();
            var file = Path.Combine(output, "out.dmp");
            var outcome = ForengateProgram.RunUnder(
                ["/usr/bin/setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "env", $"HOME={output}"],
                ["dump", "libvirt:win-other", file, "-c", uri]).Done();
            Assert.Contains("no right to read the memory of QEMU", outcome.Errors, StringComparison.Ordinal);
            ForengateProgram.Run("check", file).Done();
        }
        finally
        {
            Directory.Delete(output, recursive: true);
        }
        twin.Machine.Ping();
    }

    private static LibvirtDaemon Listen(string address, out string uri)
    {
        int port;
        using (var listener = new TcpListener(IPAddress.Parse(address), 0))
        {
            listener.Start();
            port = ((IPEndPoint)listener.LocalEndpoint).Port;
        }
        uri = $"qemu+tcp://{address}:{port}/session";
        return LibvirtDaemon.StartListening(TwinFolders.New(), address, port);
    }
}
