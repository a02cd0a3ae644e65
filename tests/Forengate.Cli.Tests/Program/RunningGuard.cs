using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>forengate guard</c> as a process, whose journal is read as it writes it, and which can be held in the middle of a dump.</summary>
internal sealed partial class RunningGuard : IDisposable
{
    public const int Kill = 9, Terminate = 15;
    private const int Continue = 18, Freeze = 19;

    /// <summary>O_RDONLY | O_CLOEXEC of x86-64 Linux.</summary>
    private const int OpenReadOnlyCloseOnExec = 0x80000;

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    private readonly ForengateProgram _program;
    private readonly List<JsonElement> _lines = [];
    private readonly Thread _reader;

    private RunningGuard(ForengateProgram program)
    {
        _program = program;
        _reader = new Thread(Read) { IsBackground = true };
        _reader.Start();
    }

    /// <summary>Starts it and waits until it is ready for a guest.</summary>
    public static RunningGuard Start(IReadOnlyList<string> launcher, params IReadOnlyList<string> arguments)
    {
        var guard = new RunningGuard(ForengateProgram.Start(launcher, ["guard", "--output", "jsonl", "--on", "panic", .. arguments]));
        try
        {
            guard.Await("ready");
            return guard;
        }
        catch
        {
            guard.Dispose();
            throw;
        }
    }

    public int ProcessId => _program.ProcessId;

    /// <summary>The process that puts back what the guard holds when it is killed; null where there is none.</summary>
    public int? Keeper
    {
        get
        {
            foreach (var folder in Directory.EnumerateDirectories("/proc"))
            {
                try
                {
                    if (int.TryParse(Path.GetFileName(folder), out var id) && File.ReadAllText(folder + "/cmdline").Contains($"\0watchdog\0--guard\0{ProcessId}\0", StringComparison.Ordinal))
                        return id;
                }
                catch (IOException)
                {
                    // It has ended.
                }
            }
            return null;
        }
    }

    /// <summary>Kills the keeper, as the kernel may where memory is short: what the guard holds then stays when it is killed too.</summary>
    public void KillKeeper()
    {
        Assert.NotNull(Keeper);
        Assert.Equal(0, SendSignal(Keeper.Value, Kill));
        Until(() => Keeper is null, "the keeper's end");
    }

    public JsonElement[] Of(string name)
    {
        lock (_lines)
            return [.. _lines.Where(line => line.GetProperty("event").GetString() == name)];
    }

    /// <summary>The line of that kind that comes as number <paramref name="count"/>.</summary>
    public JsonElement Await(string name, int count = 1)
    {
        Until(() => Of(name).Length >= count, $"{name} {count}");
        return Of(name)[count - 1];
    }

    /// <summary>Holds the process as soon as there is an unfinished dump with a header in the folder.</summary>
    /// <param name="folder">Where its dumps go.</param>
    /// <param name="panic">Makes the guest crash.</param>
    /// <returns>The file; null when the dump was faster than we.</returns>
    public string? FreezeInDump(string folder, Action panic)
    {
        var over = Of("dumped").Length + Of("failed").Length;
        panic();
        string? partial = null;
        Until(
            () =>
            {
                foreach (var path in Directory.EnumerateFiles(folder, "*.partial-*"))
                {
                    if (HasHeader(path))
                        partial = path;
                }
                return partial is not null || Of("dumped").Length + Of("failed").Length > over;
            },
            "a dump", pause: 0);
        if (partial is null)
            return null;
        Hold();
        if (File.Exists(partial))
            return partial;
        Release();
        return null;
    }

    /// <summary>Stops every thread of it.</summary>
    public void Hold()
    {
        Send(Freeze);
        Until(() => Directory.EnumerateDirectories($"/proc/{ProcessId}/task").All(thread => StateOf(thread) == 'T'), "the process to stand still");
    }

    public void Release() => Send(Continue);

    /// <summary>Sends a signal; to a process that has ended meanwhile, none.</summary>
    public void Send(int signal) => Assert.True(SendSignal(ProcessId, signal) == 0 || !Directory.Exists($"/proc/{ProcessId}"), $"signal {signal} could not be sent; {Journal}");

    /// <summary>Sends a signal that the process has taken when this returns: of two of the same number that both wait, the kernel keeps one.</summary>
    public void SendAndAwait(int signal)
    {
        Send(signal);
        Until(() => (Pending() & (1UL << (signal - 1))) == 0, "the signal to be taken");
    }

    /// <summary>Waits for its end, and for that of the processes it started: they have its stderr.</summary>
    public ProgramOutcome End()
    {
        Assert.True(_reader.Join(s_patience), $"the guard does not end; {Journal}");
        return _program.End();
    }

    public void Dispose()
    {
        _program.Dispose();
        _reader.Join(s_patience);
    }

    public string Journal
    {
        get
        {
            lock (_lines)
                return $"the journal: {string.Join('\n', _lines)}";
        }
    }

    /// <summary>The header is what a leftover is known by. Opened without .NET's lock, which the guard's own must not meet.</summary>
    private static bool HasHeader(string path)
    {
        using var file = new SafeFileHandle(Open(path, OpenReadOnlyCloseOnExec), ownsHandle: true);
        Span<byte> head = stackalloc byte[8];
        // It may have its own name by now.
        return !file.IsInvalid && RandomAccess.Read(file, head, 0) == head.Length && head.SequenceEqual("PAGEDU64"u8);
    }

    private void Until(Func<bool> condition, string what, int pause = 10)
    {
        for (var clock = Stopwatch.StartNew(); !condition(); Thread.Sleep(pause))
        {
            if (clock.Elapsed > s_patience || (!_reader.IsAlive && !condition()))
                Assert.Fail($"waited in vain for {what}; {Journal}{(_reader.IsAlive ? "" : $"\n{_program.End().Errors}")}");
        }
    }

    private void Read()
    {
        using var reader = new StreamReader(_program.Output, leaveOpen: true);
        while (reader.ReadLine() is { } line)
        {
            lock (_lines)
                _lines.Add(JsonElement.Parse(line));
        }
    }

    private ulong Pending()
    {
        // Both words are hexadecimal: signals for the process, and for its first thread.
        var pending = 0UL;
        try
        {
            foreach (var line in File.ReadLines($"/proc/{ProcessId}/status"))
            {
                if (line.StartsWith("ShdPnd:", StringComparison.Ordinal) || line.StartsWith("SigPnd:", StringComparison.Ordinal))
                    pending |= Convert.ToUInt64(line.Split('\t')[1], 16);
            }
        }
        catch (IOException)
        {
            // It has ended.
        }
        return pending;
    }

    private static char StateOf(string folder)
    {
        try
        {
            var line = File.ReadAllText(folder + "/stat");
            return line[line.LastIndexOf(')') + 2];
        }
        catch (IOException)
        {
            // The thread has ended.
            return 'T';
        }
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
