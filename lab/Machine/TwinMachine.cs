using System.Diagnostics;
using System.Text.Json;

namespace Forengate.Lab.Machine;

/// <summary>
/// A twin that runs: a QEMU process under TCG, started directly or by libvirt, that outlives the program which started it.
/// All files and sockets lie in one directory; <see cref="Open"/> finds the machine again by it.
/// </summary>
public sealed class TwinMachine : IDisposable
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(5);

    private readonly MachinePaths _paths;
    private readonly MachineState _state;
    private readonly ProcessIdentity _process;

    private TwinMachine(MachinePaths paths, MachineState state)
    {
        _paths = paths;
        _state = state;
        _process = new ProcessIdentity(state.Pid, state.StartTime);
    }

    /// <summary>QEMU's process number.</summary>
    public int Pid => _state.Pid;

    /// <summary>QMP sockets. The last one is used by this class, call by call; the ones before are for whoever looks at the guest.</summary>
    public IReadOnlyList<string> QmpSockets => _state.QmpSockets;

    /// <summary>The QMP socket for whoever looks at the guest.</summary>
    public string QmpSocket => _state.QmpSockets[0];

    public string SerialSocket => _state.SerialSocket;
    public string Name => _state.Name;

    /// <summary>The libvirt that this machine runs under, or null.</summary>
    public string? LibvirtUri => _state.LibvirtUri;

    public string Directory => _paths.Directory;
    public bool IsRunning => _process.IsAlive;

    /// <summary>Writes the plan into the directory, starts the machine and waits until every CPU is where the plan puts it.</summary>
    /// <exception cref="BootPlanException">The plan cannot be booted.</exception>
    /// <exception cref="MachineException">The machine did not start.</exception>
    public static TwinMachine Start(BootPlan plan, string directory, MachineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        BootPlanCheck.Check(plan);
        return Start(SavedPlan.Save(plan, directory), options);
    }

    /// <summary>Starts the machine of a plan that lies in its directory already.</summary>
    /// <inheritdoc cref="Start(BootPlan, string, MachineOptions?)"/>
    public static TwinMachine Start(SavedPlan saved, MachineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(saved);
        options ??= new MachineOptions();
        var paths = new MachinePaths(saved.Directory, options.Monitors);
        QemuArguments.Check(saved.Plan, options, paths);
        if (Open(saved.Directory) is { IsRunning: true } running)
            throw new MachineException($"{saved.Directory}: a machine runs here already (process {running.Pid}); end it with 'twin stop'");
        File.WriteAllBytes(paths.Rom, BootRom.Build(saved.Plan));
        foreach (var stale in paths.Monitors.Append(paths.Serial).Append(paths.Log).Append(paths.PidFile).Append(paths.State))
            File.Delete(stale);

        var pid = options.LibvirtUri is null ? Launch(saved, options, paths) : LibvirtDomain.Create(saved, options, paths);
        var process = ProcessIdentity.Of(pid) ?? throw new MachineException($"QEMU ended at once{Log(paths)}");
        var machine = new TwinMachine(paths, new MachineState(pid, process.StartTime, paths.Monitors, paths.Serial, options.Name, options.LibvirtUri));
        machine._state.Write(paths.State);
        if (options.Paused || saved.Plan.Code.PanicsAtBoot)
            return machine;
        try
        {
            machine.WaitUntilReady(saved.Plan, options.StartBound(saved.Plan.MemorySize));
            return machine;
        }
        catch (Exception e) when (e is IOException or QmpException or MachineException)
        {
            var log = Log(paths);
            machine.Stop();
            throw new MachineException($"the twin did not come up: {e.Message}{log}", e);
        }
    }

    /// <summary>The machine that was started in a directory, running or not; null when none was.</summary>
    public static TwinMachine? Open(string directory)
    {
        directory = Path.GetFullPath(directory);
        return MachineState.Read(new MachinePaths(directory, 1).State) is { } state ? new TwinMachine(new MachinePaths(directory, state.QmpSockets.Count), state) : null;
    }

    /// <summary>Waits until the guest answers on its serial line and every CPU was seen in its mode on its page tables.</summary>
    /// <exception cref="MachineException">That did not happen in time.</exception>
    public void WaitUntilReady(BootPlan plan, TimeSpan timeout)
    {
        var watch = Stopwatch.StartNew();
        // CPU 0 serves the line, unless it stands outside of Windows.
        if (plan.Cpus[0].Leave == 0)
            Talk("P", "TWIN", timeout);
        var code = GuestCode.Assemble(plan.Code);
        var missing = plan.Cpus.ToDictionary(c => c.Index);
        using var monitor = OpenMonitor();
        while (true)
        {
            foreach (var seen in CpuRegisters.ParseAll(monitor.Hmp("info registers -a")))
            {
                if (missing.TryGetValue(seen.Index, out var cpu) && seen.IsInPlace(cpu, code))
                    missing.Remove(cpu.Index);
            }
            if (missing.Count == 0)
                return;
            if (watch.Elapsed > timeout)
                throw new MachineException($"CPU {missing.Keys.Min()} is not where the plan puts it");
            Thread.Sleep(1);
        }
    }

    /// <summary>Asks the guest for a sign of life.</summary>
    /// <exception cref="MachineException">It gave none.</exception>
    public void Ping() => Talk("P", "TWIN", AnswerTimeout);

    /// <summary>Makes the guest carry out an entry of its command table. Each can be had once.</summary>
    /// <param name="index">0 to 255.</param>
    /// <exception cref="MachineException">The guest refused, or does not answer.</exception>
    public void Command(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)index, 255u, nameof(index));
        Talk($"C{index:x2}", $"OK {index:x2}", AnswerTimeout);
    }

    /// <summary>Makes CPU 0 write to the hot area at every bump of its counter, or leave off.</summary>
    /// <exception cref="MachineException">The twin has no hot area, or does not answer.</exception>
    public void Hot(bool on) => Talk(on ? "H1" : "H0", on ? "OK 01" : "OK 00", AnswerTimeout);

    /// <summary>Makes the guest crash. Returns when it is about to.</summary>
    /// <exception cref="MachineException">The twin was not made to (--panic), or does not answer.</exception>
    public void Panic(PanicWay way) => Talk($"B{(int)way}", $"OK 0{(int)way}", AnswerTimeout);

    /// <summary>Sends one QMP command and returns its result; see <see cref="QmpClient.Execute"/>.</summary>
    public JsonElement Qmp(string command)
    {
        using var monitor = OpenMonitor();
        return monitor.Execute(command);
    }

    /// <summary>Runs a command of QEMU's human monitor and returns what it prints.</summary>
    public string Hmp(string command)
    {
        using var monitor = OpenMonitor();
        return monitor.Hmp(command);
    }

    /// <summary>A connection to the machine's own monitor, for several commands or events. Only one can be had at a time.</summary>
    public QmpClient OpenMonitor() => new(_state.QmpSockets[^1]);

    /// <summary>Ends the machine, whatever state it is in. True when it is gone.</summary>
    public bool Stop()
    {
        if (_state.LibvirtUri is { } uri && _process.IsAlive)
            LibvirtDomain.Destroy(uri, _state.Name);
        var gone = _process.End(EndTimeout);
        if (gone)
        {
            foreach (var file in _paths.Monitors.Append(_paths.Serial).Append(_paths.PidFile).Append(_paths.State))
                File.Delete(file);
            foreach (var ram in System.IO.Directory.EnumerateFiles(_paths.Directory, "*ram*.img"))
                File.Delete(ram);
        }
        return gone;
    }

    public void Dispose() => Stop();

    private void Talk(string request, string expected, TimeSpan timeout)
    {
        var deadline = DateTime.UtcNow + timeout;
        try
        {
            using var line = new LineSocket(_state.SerialSocket);
            line.Send(request + "\n");
            while (DateTime.UtcNow < deadline)
            {
                // While the guest starts, its ROM clears the line and with it what was sent too early. A sign of life may be asked for twice, a command not.
                var patience = request == "P" ? DateTime.UtcNow + AskAgain : deadline;
                var answer = line.ReadLine(patience < deadline ? patience : deadline);
                if (answer == expected)
                    return;
                if (answer is null && request == "P")
                    line.Send(request + "\n");
                if (answer?.StartsWith("ER", StringComparison.Ordinal) == true)
                    throw new MachineException($"the guest refused '{request}': {answer}");
            }
        }
        catch (IOException e)
        {
            throw new MachineException($"serial line: {e.Message}" + (IsRunning ? "" : "; QEMU has ended"), e);
        }
        throw new MachineException($"the guest did not answer '{request}' within {timeout.TotalSeconds:0} s; is it paused?");
    }

    private static int Launch(SavedPlan saved, MachineOptions options, MachinePaths paths)
    {
        var outcome = Launcher.Run(options.Qemu, QemuArguments.Direct(saved, options, paths), options.StartBound(saved.Plan.MemorySize));
        if (outcome.ExitCode != 0)
            throw new MachineException($"{options.Qemu} failed: {outcome.Error.Trim()}");
        try
        {
            return int.Parse(File.ReadAllText(paths.PidFile).Trim());
        }
        catch (FileNotFoundException)
        {
            // QEMU takes its file away when it ends.
            throw new MachineException($"QEMU ended at once{Log(paths)}");
        }
    }

    /// <summary>QEMU's log from the first exception on: it ends in a triple fault, because nobody handles exceptions in a twin.</summary>
    private static string Log(MachinePaths paths)
    {
        const int most = 1600;
        if (!File.Exists(paths.Log))
            return "";
        var text = File.ReadAllText(paths.Log);
        var fault = text.IndexOf("check_exception", StringComparison.Ordinal);
        return fault < 0 ? "" : "\n" + text[fault..Math.Min(fault + most, text.Length)];
    }
}
