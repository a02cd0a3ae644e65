namespace Forengate.Memory.Tests.QemuProcess;

public sealed class QemuCoreTests
{
    private const ulong Ram = 0x7F00_0000_0000;
    private const int Size = 8 * Page.Size;

    /// <summary>A guest of 32 KiB whose machine has half of it above 4 GiB: what decides it is on the stack, behind the note's 80 characters.</summary>
    internal static ProcessCoreBuilder Split(byte[] ram) => new ProcessCoreBuilder()
        .Arguments("-name", "guest=a,,b,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc-q35-7.2,max-ram-below-4g=16K", "-m", "size=32k,slots=2", "-S")
        .Memory(0x5555_0000_0000, Noise(Page.Size, 7))
        .Memory(Ram - Page.Size, Noise(Page.Size, 8), flags: 0)
        .Memory(Ram, ram);

    [Fact]
    public void Guest_memory_is_found_by_the_command_line_on_the_stack()
    {
        var ram = Noise(Size, 1);
        using var file = new TemporaryFile(Split(ram).Build());
        using var view = ImageReader.Open(file.Path);
        Assert.Equal(("core of a QEMU process", "pc-q35-7.2", "a,b", ConsistencyLevel.MemoryOnly), (view.Origin.Format, view.Origin.Machine, view.Origin.GuestName, view.Consistency.Level));
        Assert.Equal([new PhysicalRange(default, Size / 2), new PhysicalRange(new PhysicalAddress(1UL << 32), Size / 2)], view.Memory.Ranges);
        AssertBytes(view, 0, ram.AsSpan(0, Size / 2));
        AssertBytes(view, 1UL << 32, ram.AsSpan(Size / 2));
        Assert.Equal("pc.ram", Assert.Single(view.Origin.Blocks).Name);
        Assert.Empty(view.Origin.Damage);
        Assert.Empty(view.Cpus);
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("registers", StringComparison.Ordinal));
    }

    [Fact]
    public void What_the_user_says_of_low_memory_goes_before_the_machine()
    {
        using var file = new TemporaryFile(Split(Noise(Size, 1)).Build());
        using var view = ImageReader.Open(file.Path, new ImageOpenOptions { RawLowSize = 6 * Page.Size });
        Assert.Equal([new PhysicalRange(default, 6 * Page.Size), new PhysicalRange(new PhysicalAddress(1UL << 32), 2 * Page.Size)], view.Memory.Ranges);
    }

    [Fact]
    public void Nodes_lie_in_their_order_each_in_its_file()
    {
        byte[] first = Noise(Size, 1), second = Noise(Size, 2);
        var core = new ProcessCoreBuilder()
            .Arguments(
                "-m", "64K", "-object", """{"qom-type":"memory-backend-file","id":"ram-node0","mem-path":"/dev/shm/zero","size":32768}""", "-numa", "node,nodeid=1,memdev=ram-node1",
                "-object", "memory-backend-file,id=ram-node1,mem-path=/dev/shm/one,size=32K", "-numa", "node,nodeid=0,memdev=ram-node0", "-device", "pc-dimm,memdev=memdimm0,id=dimm0")
            .Memory(Ram, second).File(Ram, Size, "/dev/shm/one").Memory(Ram + (64 << 20), first).File(Ram + (64 << 20), Size, "/dev/shm/zero");
        using var file = new TemporaryFile(core.Build());
        using var view = ImageReader.Open(file.Path);
        Assert.Equal([new PhysicalRange(default, 2 * Size)], view.Memory.Ranges);
        AssertBytes(view, 0, first);
        AssertBytes(view, Size, second);
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("memdimm0", StringComparison.Ordinal));
        Assert.DoesNotContain(view.Origin.Remarks, remark => remark.StartsWith("assumed", StringComparison.Ordinal));
    }

    [Fact]
    public void A_choice_among_equals_is_called_assumed()
    {
        var core = new ProcessCoreBuilder().Arguments("-m", "32K").Memory(Ram, Noise(Size, 1)).Memory(Ram + (64 << 20), Noise(Size, 2));
        using var file = new TemporaryFile(core.Build());
        using var view = ImageReader.Open(file.Path);
        AssertBytes(view, 0, Noise(Size, 2));
        Assert.Contains(view.Origin.Remarks, remark => remark.StartsWith("assumed: of 2 mappings", StringComparison.Ordinal));
    }

    [Fact]
    public void RAM_that_is_only_partly_in_the_core_is_damaged_and_said_to_be()
    {
        var ram = Noise(Size, 1);
        using var file = new TemporaryFile(new ProcessCoreBuilder().Arguments("-m", "32K").Memory(0x5555_0000_0000, Noise(Page.Size, 7)).Memory(Ram, ram[..(3 * Page.Size)], Size / 2).Memory(Ram + (Size / 2), ram[(Size / 2)..]).Build());
        using var view = ImageReader.Open(file.Path);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(3 * Page.Size)));
        AssertBytes(view, 4 * Page.Size, ram.AsSpan(4 * Page.Size));
        Assert.Contains("0x1000 of 0x8000 bytes of RAM are not in the core", view.Origin.Damage);
    }

    [Fact]
    public void What_can_not_be_used_is_refused_with_its_reason()
    {
        AssertRefused(Split([]).Memory(Ram, [], Size).Arguments("-m", "32K", "-machine", "pc,dump-guest-core=off"), "dump-guest-core=off; libvirt does so");
        AssertRefused(Split([]).Memory(Ram, [], Size).Arguments("-m", "32K"), "coredump_filter");
        AssertRefused(Split(Noise(Size, 1)).Arguments("-m", "1G"), "no memory of the process is the 1 GiB of RAM block 'pc.ram'");
        AssertRefused(new ProcessCoreBuilder { Program = "sleep", Command = "sleep" }.Memory(Ram, Noise(Size, 1)).Memory(Ram + (64 << 20), Noise(Size, 2)), "(sleep), not of a machine");

        static void AssertRefused(ProcessCoreBuilder builder, string reason)
        {
            using var refused = new TemporaryFile(builder.Build());
            Assert.Contains(reason, Assert.Throws<ImageFormatException>(() => ImageReader.Open(refused.Path)).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("-m 4G", null, 4UL << 30)]
    [InlineData("-M q35 -m 2048", "q35", 2UL << 30)]
    [InlineData("--machine type=pc-i440fx-7.2,accel=kvm -m size=1.5G,maxmem=8G", "pc-i440fx-7.2", 3UL << 29)]
    [InlineData("-enable-kvm", null, 128UL << 20)]
    [InlineData("-m nonsense -m 99999999999999999999T", null, 128UL << 20)]
    public void The_command_line_says_machine_and_size(string line, string? machine, ulong size)
    {
        var arguments = QemuArguments.Parse(line.Split(' '));
        Assert.Equal((machine, size), (arguments.Machine, arguments.RamSize));
        Assert.Equal([new QemuBackend("pc.ram", size, null)], arguments.MainRam());
    }

    [Theory]
    [InlineData("-qmp unix:/a,server=on,wait=off", "/a", false)]
    [InlineData("-qmp unix:/a,server,nowait", "/a", false)]
    [InlineData("-qmp-pretty unix:/a,server=on", "/a", true)]
    [InlineData("-chardev socket,id=x,path=/a,,b,server=on,wait=off -mon chardev=x,mode=control", "/a,b", false)]
    [InlineData("-mon x,mode=control -chardev socket,id=x,path=/a,server=yes,wait=no", "/a", false)]
    [InlineData("-qmp chardev:x -chardev socket,id=x,path=/a,server=on,wait=off", "/a", false)]
    [InlineData("-qmp unix:/a", null, false)]
    [InlineData("-qmp tcp:localhost:4444,server=on,wait=off", null, false)]
    [InlineData("-qmp unix:/a,server=on,abstract=on", null, false)]
    [InlineData("-monitor unix:/a,server=on,wait=off", null, false)]
    [InlineData("-chardev socket,id=x,path=/a,server=on,wait=off -mon chardev=x,mode=readline", null, false)]
    [InlineData("-chardev socket,id=charmonitor,fd=22,server=on,wait=off -mon chardev=charmonitor,mode=control", null, false)]
    public void The_command_line_says_where_a_monitor_listens(string line, string? path, bool waits)
    {
        var arguments = QemuArguments.Parse(line.Split(' '));
        Assert.Equal(path is null ? [] : [new QemuMonitorSocket(path, waits)], arguments.MonitorSockets);
        Assert.Equal(line.Contains("charmonitor", StringComparison.Ordinal), arguments.IsOfLibvirt);
    }

    [Theory]
    [InlineData("", 1)]
    [InlineData("-smp 4", 4)]
    [InlineData("-smp cpus=3,maxcpus=8", 3)]
    [InlineData("-smp 2,sockets=4,maxcpus=8", 2)]
    [InlineData("-smp sockets=2,cores=2,threads=2", 8)]
    [InlineData("-smp sockets=2147483647,cores=2147483647,threads=9", int.MaxValue)]
    [InlineData("-smp nonsense", 1)]
    public void The_command_line_says_how_many_processors(string line, int cpus) => Assert.Equal(cpus, QemuArguments.Parse(line.Split(' ')).Cpus);

    internal static byte[] Noise(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static void AssertBytes(View view, ulong address, ReadOnlySpan<byte> expected)
    {
        var bytes = new byte[expected.Length];
        Assert.Equal(bytes.Length, view.Memory.Read(new PhysicalAddress(address), bytes));
        Assert.True(expected.SequenceEqual(bytes));
    }
}
