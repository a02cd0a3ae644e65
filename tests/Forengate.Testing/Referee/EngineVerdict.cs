using System.Globalization;

namespace Forengate.Testing.Referee;

/// <summary>What the debugger engine said of one dump.</summary>
public sealed class EngineVerdict
{
    private const string UnloadedTitle = "Unloaded modules:";

    private readonly Dictionary<string, string> outputs = [];

    private EngineVerdict(string dump) => Dump = dump;

    /// <summary>The dump's path.</summary>
    public string Dump { get; }

    /// <summary>Whether the engine opened it.</summary>
    public bool Opened { get; private set; }

    /// <summary>The HRESULT with which the engine refused it ("0x80070002"), or null.</summary>
    public string? Refusal { get; private set; }

    /// <summary>The engine's process ended in the middle of this dump.</summary>
    public bool Died { get; private set; }

    /// <summary>What the engine said while it opened the dump.</summary>
    public string Opening { get; private set; } = "";

    /// <summary>Everything the engine said, in its order.</summary>
    public string Everything { get; private set; } = "";

    /// <summary>Every line that finds fault with the dump, each once, in order. What is only about missing PDBs, images or extensions is left out.</summary>
    public IReadOnlyList<string> Complaints => field ??= EngineComplaints.Of(this);

    /// <summary>What <c>vertarget</c> says.</summary>
    public EngineTarget Target => field ??= EngineTarget.Parse(this["vertarget"]);

    /// <summary>What <c>lm</c> lists, by address.</summary>
    public IReadOnlyList<EngineModule> Modules => field ??= EngineModule.ParseAll(this["lm"].Split(UnloadedTitle)[0]);

    /// <summary>What <c>lm</c> lists as unloaded, by address.</summary>
    public IReadOnlyList<EngineModule> UnloadedModules => field ??= this["lm"].Split(UnloadedTitle) is [_, var unloaded, ..] ? EngineModule.ParseAll(unloaded) : [];

    /// <summary>What <c>.dumpdebug</c> reads in the header.</summary>
    public EngineHeader Header => field ??= EngineHeader.Parse(this[".dumpdebug"]);

    /// <summary>The registers of each processor by the debugger's names (<c>rip</c>, <c>cs</c>, and what further <c>each r …</c> asked for).</summary>
    public IReadOnlyList<IReadOnlyDictionary<string, ulong>> Registers => field ??= EngineRegisters.ParseAll(outputs);

    /// <summary>What a command printed ("~1s; r" for <c>each r</c> on processor 1); empty where it was not run.</summary>
    public string this[string command] => outputs.GetValueOrDefault(command, "");

    /// <summary>The command that reads memory at a virtual address, to be given to <see cref="DebuggerEngine.Judge"/>.</summary>
    public static string ReadOf(ulong address, int length) => string.Create(CultureInfo.InvariantCulture, $"db 0x{address:x} L0x{length:x}");

    /// <summary>The bytes that <see cref="ReadOf"/> showed; null for each that the engine could not read.</summary>
    public IReadOnlyList<byte?> Memory(ulong address, int length) => EngineMemory.Parse(this[ReadOf(address, length)], length);

    /// <summary>The verdicts in a judge's output (tests/judge/judge.c).</summary>
    public static IReadOnlyList<EngineVerdict> ParseAll(string output)
    {
        var verdicts = new List<EngineVerdict>();
        EngineVerdict? verdict = null;
        string? command = null;
        var said = new List<string>();
        var all = new List<string>();
        var ended = false;

        void Close()
        {
            if (verdict is not null)
            {
                var text = string.Join('\n', said);
                if (command is null)
                    verdict.Opening += text;
                else
                    verdict.outputs[command] = verdict.outputs.TryGetValue(command, out var before) ? before + text : text;
            }
            said.Clear();
        }

        foreach (var line in output.Split('\n'))
        {
            if (!line.StartsWith("@@ ", StringComparison.Ordinal))
            {
                said.Add(line);
                all.Add(line);
                continue;
            }
            Close();
            var (mark, of) = line[3..].Split(' ', 2) is [var word, var rest] ? (word, rest) : (line[3..], "");
            switch (mark)
            {
                case "open":
                    if (verdict is not null)
                        verdict.Everything = string.Join('\n', all);
                    all.Clear();
                    verdicts.Add(verdict = new EngineVerdict(of));
                    command = null;
                    break;
                case "opened":
                    verdict?.Opened = true;
                    break;
                case "refused":
                    verdict?.Refusal = of;
                    break;
                case "run":
                    command = of;
                    break;
                case "failed":
                    all.Add($"{command}: the engine failed with error {of}");
                    break;
                case "end":
                    ended = true;
                    break;
            }
        }
        Close();
        if (verdict is not null)
        {
            verdict.Everything = string.Join('\n', all);
            verdict.Died = !ended;
        }
        return verdicts;
    }
}
