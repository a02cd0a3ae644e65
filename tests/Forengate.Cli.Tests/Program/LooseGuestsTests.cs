using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>
/// <c>forengate guests</c> on a host with a QEMU that no libvirt knows: a twin in a process namespace of its own, so that the QEMUs of other tests are neither seen nor asked.
/// </summary>
public sealed class LooseGuestsTests
{
    private const string Name = "win-free";
    private const string Nobody = "65534";

    [Fact]
    public void It_is_shown_with_its_Windows_and_its_plan_as_rights_allow()
    {
        using var host = LonelyHost.Start();
        var root = host.WaitForWindows();
        Assert.Equal((Name, "running", 128, "anonymous", 2), (Text(root, "name"), Text(root, "state"), root.GetProperty("memoryMiB").GetInt32(), Text(root, "backend"), root.GetProperty("cpus").GetInt32()));
        Assert.Equal(($"qmp:{host.Socket}", "asked", 1), (Text(root, "target"), Text(root, "planSource"), root.GetProperty("pid").GetInt32()));
        Assert.Contains(Text(root, "plan"), new[] { "background snapshot", "stop and copy", "not possible" });
        Assert.StartsWith("10.0.19041", Text(root, "windows"), StringComparison.Ordinal);

        // Without --windows: what can be expected.
        var expected = host.Row(["guests", "--output", "json"], out _);
        Assert.Equal(("running", "expected", null), (Text(expected, "state"), Text(expected, "planSource"), Text(expected, "windows")));
        Assert.Null(Text(expected, "memoryNeeds"));

        // Anybody: what the command line says, and what would show more.
        string[] nobody = ["setpriv", $"--reuid={Nobody}", $"--regid={Nobody}", "--clear-groups"];
        var seen = host.Row(["guests", "--output", "json"], out var said, nobody);
        Assert.Equal((Name, "unknown", "unknown", 128), (Text(seen, "name"), Text(seen, "state"), Text(seen, "plan"), seen.GetProperty("memoryMiB").GetInt32()));
        Assert.StartsWith($"write access to its monitor {host.Socket}", Text(seen, "monitorNeeds"), StringComparison.Ordinal);
        Assert.StartsWith("CAP_SYS_PTRACE, or the same user and group as QEMU (root:root)", Text(seen, "memoryNeeds"), StringComparison.Ordinal);
        Assert.Contains($"PLAN of {Name} need write access", said, StringComparison.Ordinal);

        // The right that was named is enough for Windows, which needs no monitor.
        var capable = host.Row(["guests", "--windows", "--output", "json"], out _, [.. nobody, "--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"]);
        Assert.Equal((Text(root, "windows"), "unknown", "unknown"), (Text(capable, "windows"), Text(capable, "plan"), Text(capable, "state")));
        Assert.Null(Text(capable, "memoryNeeds"));
    }

    [Fact]
    public void A_monitor_that_is_in_use_is_said_and_not_waited_for()
    {
        using var host = LonelyHost.Start();
        host.WaitForWindows();
        using var other = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        other.Connect(new UnixDomainSocketEndPoint(host.Socket));
        var row = host.Row(["guests", "--windows", "--output", "json"], out var said);
        Assert.Equal(("unknown", $"qmp:{host.Socket}", "unknown"), (Text(row, "state"), Text(row, "target"), Text(row, "plan")));
        Assert.StartsWith("10.0.19041", Text(row, "windows"), StringComparison.Ordinal);
        Assert.Contains($"its monitor is in use: {host.Socket}", said, StringComparison.Ordinal);
        // The other was greeted, and nobody stands in line behind it.
        Assert.True(other.Receive(new byte[4096]) > 0);
    }

    private static string? Text(JsonElement row, string field) => row.GetProperty(field).GetString();

    /// <summary>A namespace in which a twin's QEMU is the first and only process.</summary>
    private sealed class LonelyHost : IDisposable
    {
        private readonly Process _launcher;
        private readonly int _qemu;

        private LonelyHost(Process launcher, int qemu, string socket) => (_launcher, _qemu, Socket) = (launcher, qemu, socket);

        public string Socket { get; }

        public static LonelyHost Start()
        {
            if (!Environment.IsPrivilegedProcess)
                Assert.Skip("only root makes namespaces");
            // The command line of a twin, once more: its files stay.
            string[] words;
            string socket;
            using (var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "2"), new MachineOptions { Name = Name, Monitors = 1 }))
            {
                socket = twin.Machine.QmpSocket;
                words = File.ReadAllText($"/proc/{twin.Machine.Pid}/cmdline").Split('\0', StringSplitOptions.RemoveEmptyEntries);
            }
            var command = words.Where((word, i) => word is not ("-daemonize" or "-pidfile") && (i == 0 || words[i - 1] != "-pidfile"));
            var launcher = Process.Start(new ProcessStartInfo("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc", "--", .. command]) { RedirectStandardError = true })!;
            launcher.ErrorDataReceived += static (_, _) => { };
            launcher.BeginErrorReadLine();
            try
            {
                for (var until = Environment.TickCount64 + 60_000; ; Thread.Sleep(20))
                {
                    if (Children(launcher.Id) is [var qemu] && File.Exists(socket))
                        return new LonelyHost(launcher, qemu, socket);
                    Assert.True(Environment.TickCount64 < until && !launcher.HasExited, "QEMU does not come up");
                }
            }
            catch
            {
                launcher.Kill(entireProcessTree: true);
                launcher.Dispose();
                throw;
            }
        }

        /// <summary>The row, once Windows is found: it lies in memory before the machine begins, but firmware has to place it.</summary>
        public JsonElement WaitForWindows()
        {
            for (var until = Environment.TickCount64 + 120_000; ;)
            {
                var row = Row(["guests", "--windows", "--output", "json"], out var said);
                if (row.GetProperty("windows").ValueKind == JsonValueKind.String && row.GetProperty("planSource").GetString() == "asked")
                    return row;
                Assert.True(Environment.TickCount64 < until, said);
            }
        }

        /// <summary>The twin's row. libvirt's guests, where this host has a libvirt, are rows beside it.</summary>
        public JsonElement Row(string[] arguments, out string said, params IReadOnlyList<string> launcher)
        {
            var outcome = ForengateProgram.RunUnder(["nsenter", "--target", _qemu.ToString(CultureInfo.InvariantCulture), "--pid", "--mount", .. launcher], arguments);
            said = outcome.Errors;
            Assert.True(outcome.ExitCode is 0 or 3, said);
            return Assert.Single(outcome.Json.EnumerateArray(), row => row.GetProperty("name").GetString() == Name);
        }

        private static int[] Children(int parent) =>
            [.. File.ReadAllText($"/proc/{parent}/task/{parent}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(text => int.Parse(text, CultureInfo.InvariantCulture))];

        public void Dispose()
        {
            // --kill-child: QEMU, and with it the namespace, ends with its launcher.
            _launcher.Kill(entireProcessTree: true);
            _launcher.WaitForExit();
            _launcher.Dispose();
        }
    }
}
