using Forengate.Lab.Machine;

namespace Forengate.Lab.Tests;

public sealed class MachineLibvirtTests
{
    [Fact]
    public void A_private_libvirt_runs_a_twin()
    {
        using var directory = new MachineDirectory();
        using var daemon = LibvirtDaemon.Start(Path.Combine(directory.Path, "lv"));
        Assert.Equal(daemon.Pid, LibvirtDaemon.Start(Path.Combine(directory.Path, "lv")).Pid);

        var plan = MachineHandMadePlan.Make([CpuMode.User, CpuMode.Kernel], kvaShadow: true, high: true);
        foreach (var options in new[]
            {
                new MachineOptions(), new MachineOptions { Machine = "q35", Backend = RamBackend.Memfd, VmCoreInfo = true },
                new MachineOptions { Backend = RamBackend.File, Vga = true }, new MachineOptions { NumaNodes = 2 },
            })
        {
            using var twin = TwinMachine.Start(plan, Path.Combine(directory.Path, "t"), options with { LibvirtUri = daemon.Uri, Name = "a-twin" });
            Assert.Equal("running", LibvirtDomain.Virsh(daemon.Uri, ["domstate", "a-twin"]).Trim());
            Assert.Equal(twin.Pid, int.Parse(File.ReadAllText(Path.Combine(daemon.RunDirectory, "a-twin.pid"))));
            twin.Command(0);
            LibvirtDomain.Virsh(daemon.Uri, ["suspend", "a-twin"]);
            Assert.Equal("paused", twin.Qmp("query-status").GetProperty("status").GetString());
            Assert.True(twin.Stop());
            Assert.Equal("", LibvirtDomain.Virsh(daemon.Uri, ["list", "--all", "--name"]).Trim());
        }
        Assert.True(daemon.Stop());
        Assert.Null(LibvirtDaemon.Open(Path.Combine(directory.Path, "lv")));
    }
}
