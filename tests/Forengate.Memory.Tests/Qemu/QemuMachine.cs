using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>A real QEMU under TCG with 64 MiB and two CPUs, spoken to by QMP, and ended by its own process id.</summary>
internal sealed class QemuMachine : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly Socket _socket;
    private readonly StreamReader _reader;

    private QemuMachine(Process process, Socket socket, string folder)
    {
        _process = process;
        _socket = socket;
        Folder = folder;
        _reader = new StreamReader(new NetworkStream(socket), Encoding.UTF8);
    }

    public string Folder { get; }

    public static QemuMachine Start(string machine, params string[] arguments) => StartProgram(["qemu-system-x86_64"], machine, arguments);

    /// <summary>As <see cref="Start"/>, of another build of QEMU.</summary>
    /// <param name="program">The program, and the arguments that stand before QEMU's own.</param>
    /// <param name="machine">Machine type with its options.</param>
    /// <param name="arguments">More arguments; {folder} stands for the machine's folder. Those that come later win.</param>
    public static QemuMachine StartProgram(string[] program, string machine, params string[] arguments)
    {
        var folder = Directory.CreateTempSubdirectory("forengate-qemu-").FullName;
        var path = Path.Combine(folder, "qmp");
        var start = new ProcessStartInfo(program[0]) { RedirectStandardError = true, UseShellExecute = false };
        string[] all =
        [
            .. program[1..], "-M", machine, "-accel", "tcg", "-m", "64", "-smp", "2", "-cpu", "max", "-display", "none", "-nodefaults", "-no-user-config",
            "-qmp", $"unix:{path},server=on,wait=off", .. arguments,
        ];
        foreach (var argument in all)
            start.ArgumentList.Add(argument.Replace("{folder}", folder, StringComparison.Ordinal));
        var process = Process.Start(start) ?? throw new InvalidOperationException("QEMU did not start");
        var socket = Connect(process, path);
        var qemu = new QemuMachine(process, socket, folder);
        qemu._socket.ReceiveTimeout = (int)Patience.TotalMilliseconds;
        qemu._reader.ReadLine();
        qemu.Command("qmp_capabilities");
        return qemu;
    }

    /// <summary>Runs a command and gives its answer's "return".</summary>
    public JsonElement Command(string name, object? arguments = null)
    {
        var line = JsonSerializer.Serialize(new Dictionary<string, object?> { ["execute"] = name, ["arguments"] = arguments ?? new Dictionary<string, object?>() });
        _socket.Send(Encoding.UTF8.GetBytes(line + "\n"));
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < Patience;)
        {
            var answer = _reader.ReadLine() ?? throw new IOException("QEMU closed its monitor");
            using var document = JsonDocument.Parse(answer);
            if (document.RootElement.TryGetProperty("return", out var result))
                return result.Clone();
            if (document.RootElement.TryGetProperty("error", out var error))
                throw new InvalidOperationException($"{name}: {error}");
        }
        throw new TimeoutException(name);
    }

    public string Monitor(string command) => Command("human-monitor-command", new Dictionary<string, object?> { ["command-line"] = command }).GetString()!;

    /// <summary>Dumps guest memory as an ELF core.</summary>
    public string Dump(bool paging)
    {
        var path = Path.Combine(Folder, paging ? "paging.elf" : "flat.elf");
        Command("dump-guest-memory", new Dictionary<string, object?> { ["paging"] = paging, ["protocol"] = $"file:{path}" });
        return path;
    }

    /// <summary>Guest-physical memory as QEMU itself reads it.</summary>
    public byte[] PhysicalBytes(ulong address, int length)
    {
        var path = Path.Combine(Folder, "pmemsave");
        Command("pmemsave", new Dictionary<string, object?> { ["val"] = address, ["size"] = length, ["filename"] = path });
        return File.ReadAllBytes(path);
    }

    public void Dispose()
    {
        _reader.Dispose();
        _socket.Dispose();
        if (!_process.HasExited)
            _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private static Socket Connect(Process process, string path)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < Patience && !process.HasExited; Thread.Sleep(20))
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                socket.Connect(new UnixDomainSocketEndPoint(path));
                return socket;
            }
            catch (SocketException)
            {
                socket.Dispose();
            }
        }
        if (!process.HasExited)
            process.Kill();
        throw new InvalidOperationException($"QEMU's monitor did not come up: {process.StandardError.ReadToEnd()}");
    }
}
