using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>Each way it can go wrong is one line with what to try.</summary>
public sealed class FailureTests
{
    private static GuestException Fail(string target, CaptureOptions? options = null) => OneLine(Assert.Throws<GuestException>(() =>
        LiveCapture.Take(GuestTarget.Parse(target), options ?? TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None)));

    private static GuestException OneLine(GuestException e)
    {
        Assert.DoesNotContain('\n', e.Message);
        return e;
    }

    [Fact]
    public void No_socket() => Assert.Equal(GuestFailure.NotFound, Fail("qmp:/nonexistent/qmp.sock").Failure);

    [Fact]
    public void A_path_longer_than_a_socket_address()
    {
        var folder = Directory.CreateTempSubdirectory("forengate-long-");
        var path = Path.Combine(folder.FullName, new string('x', 150));
        File.WriteAllText(path, "");
        Assert.Equal(GuestFailure.NotFound, Fail($"qmp:{path}").Failure);
        folder.Delete(recursive: true);
    }

    [Fact]
    public void A_busy_monitor()
    {
        using var qemu = new TestQemu("-S");
        using var first = QmpMonitor.Open(qemu.Socket, CancellationToken.None);
        Assert.Equal(GuestFailure.MonitorBusy, Fail(qemu.Target.ToString()).Failure);
    }

    [Theory]
    [InlineData("")]
    [InlineData("HELO mail.example\r\n")]
    [InlineData("{\"hello\": 1}\r\n")]
    [InlineData("[]\n")]
    [InlineData("{\"QMP\": {\"version\": 7}}\n{\"id\": 1, \"return\": {}}\n{\"id\": 2, \"return\": {\"status\": [], \"running\": 1}}\n")]
    public async Task A_socket_that_is_not_QEMU(string answer)
    {
        var folder = Directory.CreateTempSubdirectory("forengate-fake-");
        var path = Path.Combine(folder.FullName, "socket");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        var server = Task.Run(() =>
        {
            using var client = listener.Accept();
            client.Send(Encoding.UTF8.GetBytes(answer));
            if (answer.Contains("return", StringComparison.Ordinal))
                Thread.Sleep(200);
        });
        var e = Fail($"qmp:{path}");
        Assert.True(e.Failure is GuestFailure.NotQemu or GuestFailure.Vanished, e.ToString());
        await server;
        folder.Delete(recursive: true);
    }

    [Fact]
    public void No_libvirt_daemon()
    {
        var e = Fail("libvirt:guest", TestQemu.Options(CaptureMode.Live) with { ConnectUri = "qemu:///session?socket=/nonexistent/socket" });
        Assert.True(e.Failure is GuestFailure.Libvirt or GuestFailure.LibraryMissing, e.ToString());
    }

    [Fact]
    public void A_guest_of_another_host()
    {
        var e = Fail("libvirt:guest", TestQemu.Options(CaptureMode.Live) with { ConnectUri = "qemu+ssh://root@elsewhere.example/system", Means = CaptureMeans.Qemu });
        Assert.Equal(GuestFailure.Remote, e.Failure);
        Assert.Contains("elsewhere.example", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void QEMU_killed_while_it_is_read_in_place()
    {
        using var qemu = new TestQemu("-S", "-m", "64");
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        var memory = Assert.IsType<LiveMemory>(view.Memory);
        var buffer = new byte[1 << 20];
        Assert.Equal(buffer.Length, memory.Read(new PhysicalAddress(0x200000), buffer));
        Assert.Null(memory.Failure);
        qemu.Kill();
        TestQemu.WaitFor(() => memory.Read(new PhysicalAddress(0x200000), buffer) == 0, "QEMU's end");
        Assert.Equal(GuestFailure.Vanished, memory.Failure!.Failure);
        Assert.Equal(PageState.Missing, memory.StateOf(new PhysicalAddress(0x200000)));
        var states = new PageState[2];
        Assert.Equal(0, memory.ReadPages([new PhysicalAddress(0), new PhysicalAddress(0x200000)], buffer, states));
        Assert.All(states, s => Assert.Equal(PageState.Missing, s));
        view.Dispose();
        Assert.Contains(view.Origin.Remarks, r => r.Contains("ended", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(CapturePhase.CopyingAhead)]
    [InlineData(CapturePhase.Copying)]
    public void QEMU_killed_in_the_middle_of_the_copy(CapturePhase phase)
    {
        using var qemu = new TestQemu("-M", "q35", "-m", "96", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), new KillWhenCopying(qemu, phase), CancellationToken.None));
        Assert.Equal(GuestFailure.Vanished, OneLine(e).Failure);
    }

    [Theory]
    [InlineData("755", "no right to connect")]
    [InlineData("777", "no right to read the memory of QEMU")]
    public void Another_user_without_rights(string socketMode, string reason)
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists("/usr/bin/setpriv"))
            Assert.Skip("only root can become another user");
        using var qemu = new TestQemu("-M", "q35", "-m", "96", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        Run("chmod", "755", qemu.Folder);
        Run("chmod", socketMode, qemu.Socket);
        var host = WatchdogHost.ThisProgram();
        var output = Run("/usr/bin/setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", host.Executable, .. host.Arguments, Victim.Verb, qemu.Target.ToString(), "60000"]);
        if (output.Length == 0)
            Assert.Skip("another user can't run this program where it lies");
        Assert.StartsWith("failed: ", output, StringComparison.Ordinal);
        Assert.Contains(reason, output, StringComparison.Ordinal);
        Assert.True(qemu.IsRunning);
        Assert.Null(qemu.Referee.LastStopByEvents);
    }

    private static string Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd().Trim();
        process.WaitForExit();
        return output;
    }

    private sealed class KillWhenCopying(TestQemu qemu, CapturePhase phase) : IProgress<CaptureProgress>
    {
        public void Report(CaptureProgress value)
        {
            if (value.Phase == phase)
                qemu.Kill();
        }
    }
}
