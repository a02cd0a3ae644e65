namespace Forengate.Lab.Image;

/// <summary>Thinks up the processes of a twin: those every Windows has, then made-up ones with names of many scripts.</summary>
internal sealed class ProcessPlanner(TwinOptions options, int family, SeededRandom random)
{
    private const ulong Second = 10_000_000;
    private const string System32 = @"C:\Windows\System32\";
    private static readonly string[] _stems =
    [
        "svchost", "RuntimeBroker", "taskhostw", "conhost", "notepad", "chrome", "отчёт", "Яндекс браузер", "データベース", "记事本服务", "회계프로그램", "Ünïcodé-Dïenst", "🚀launcher", "payroll😀2026",
        "αβγ-monitor", "a", "very long image name that no fifteen bytes can hold", "with space", "ΩmegaSync", "шифровальщик", "会议", "dot.in.name",
    ];

    private static readonly string[] _folders = [System32, @"C:\Program Files\Twin\", @"C:\Users\Ольга\AppData\Local\", @"C:\ProgramData\数据\", @"D:\tools\"];
    private readonly List<ProcessPlan> _plans = [];
    private readonly HashSet<uint> _pids = [0, 4];
    private ulong _time = TwinClock.Boot + 2 * Second;

    public IReadOnlyList<ProcessPlan> Plan()
    {
        _plans.Add(new ProcessPlan
        {
            Pid = 4, ParentPid = 0, Name = "System", Path = "", CommandLine = "", Minimal = true, CreateTime = TwinClock.Boot, Threads = Math.Max(options.Threads, 2) + options.CpuCount,
        });
        var listedExited = Math.Min((options.ExitedProcesses + 1) / 2, options.Processes / 4);
        var running = options.Processes - listedExited;
        var hosts = Math.Min(options.CpuCount, Math.Max(running / 3, running > 1 ? 1 : 0));
        Standard(running - hosts);
        for (var i = 0; i < hosts; i++)
            Add("worker.exe", @"C:\Program Files\Twin\worker.exe", $"\"C:\\Program Files\\Twin\\worker.exe\" --cpu {i}", session: 0, hosts: hosts);
        while (_plans.Count < running)
            Add(ProcessState.Running);
        for (var i = 0; i < options.ExitedProcesses; i++)
            Add(i < listedExited ? ProcessState.ExitedListed : ProcessState.ExitedUnlisted);
        for (var i = 0; i < options.HiddenProcesses; i++)
            Add(ProcessState.Hidden);
        for (var i = 0; i < options.SpareProcesses; i++)
            Add(ProcessState.Spare);
        return _plans;
    }

    private void Standard(int most)
    {
        if (family >= 17134 && _plans.Count < most)
            Minimal("Registry", TwinClock.Boot - Second);
        void Fixed(string name, string commandLine, uint? session, string? parent = null)
        {
            if (_plans.Count < most)
                Add(name, System32 + name, commandLine, session, parent);
        }

        Fixed("smss.exe", @"\SystemRoot\System32\smss.exe", null, "System");
        Fixed("csrss.exe", @"%SystemRoot%\system32\csrss.exe ObjectDirectory=\Windows SharedSection=1024,20480,768 Windows=On SubSystemType=Windows", 0, "smss.exe");
        Fixed("wininit.exe", "wininit.exe", 0, "smss.exe");
        Fixed("csrss.exe", @"%SystemRoot%\system32\csrss.exe ObjectDirectory=\Windows SharedSection=1024,20480,768 Windows=On SubSystemType=Windows", 1, "smss.exe");
        Fixed("winlogon.exe", "winlogon.exe", 1, "smss.exe");
        Fixed("services.exe", @"C:\Windows\system32\services.exe", 0, "wininit.exe");
        Fixed("lsass.exe", @"C:\Windows\system32\lsass.exe", 0, "wininit.exe");
        Fixed("svchost.exe", @"C:\Windows\system32\svchost.exe -k DcomLaunch -p", 0, "services.exe");
        Fixed("svchost.exe", @"C:\Windows\system32\svchost.exe -k RPCSS -p", 0, "services.exe");
        if (family >= 9600)
            Fixed("dwm.exe", "\"dwm.exe\"", 1, "winlogon.exe");
        if (family >= 14393 && _plans.Count < most)
            Minimal("MemCompression", Tick());
        if (_plans.Count < most)
            Add("explorer.exe", @"C:\Windows\explorer.exe", @"C:\Windows\Explorer.EXE", 1, null);
    }

    private void Minimal(string name, ulong time)
    {
        _plans.Add(new ProcessPlan { Pid = NextPid(), ParentPid = 4, Name = name, Path = "", CommandLine = "", Minimal = true, CreateTime = time, Threads = Math.Min(2, options.Threads) });
    }

    private void Add(string name, string path, string commandLine, uint? session, string? parent = null, int hosts = 0)
    {
        var parentPid = _plans.LastOrDefault(p => p.Name == parent)?.Pid ?? _plans.LastOrDefault(p => p.Name == "services.exe")?.Pid ?? 4;
        _plans.Add(new ProcessPlan
        {
            Pid = NextPid(), ParentPid = parentPid, Name = name, Path = path, CommandLine = commandLine, Session = session, CreateTime = Tick(), HostsCpu = hosts > 0,
            // A host has a thread for each CPU that may run in it.
            Threads = Math.Max(random.Next(1, options.Threads + 1), hosts > 0 ? (options.CpuCount + hosts - 1) / hosts : 1),
        });
    }

    private void Add(ProcessState state)
    {
        var stem = random.Pick(_stems);
        var name = stem.EndsWith('t') && random.Chance(50) ? stem + ".exe" : $"{stem}-{_plans.Count}.exe";
        var wow64 = random.Chance(15);
        var folder = wow64 ? @"C:\Program Files (x86)\Старое\" : random.Pick(_folders);
        var created = Tick();
        var exited = state is ProcessState.ExitedListed or ProcessState.ExitedUnlisted;
        _plans.Add(new ProcessPlan
        {
            Pid = NextPid(), ParentPid = random.Chance(20) ? NextPid() : _plans[random.Next(0, _plans.Count)].Pid, Name = name, Path = folder + name,
            CommandLine = $"\"{folder}{name}\" --instance {_plans.Count} --note \"naïve Größe 表\"", Session = (uint)random.Next(0, 2), Wow64 = wow64, State = state, CreateTime = created,
            ExitTime = exited ? created + random.Next(500) * Second + 1 : 0, Threads = exited ? 1 : random.Next(1, options.Threads + 1),
        });
    }

    /// <summary>Times rise from boot to now, however many processes there are.</summary>
    private ulong Tick() => _time += random.Next((TwinClock.Interrupt - 600 * Second) / 6000);

    private uint NextPid()
    {
        // Ids are multiples of 4, reused at random in a system that has run for a while.
        for (; ; )
        {
            var pid = (uint)random.Next(20, 3000 + (_plans.Count * 4)) * 4;
            if (_pids.Add(pid))
                return pid;
        }
    }
}
