using System.Buffers.Binary;
using Forengate.Lab.Machine;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Families;

/// <summary>Compares what the debugger engine shows of a dump with a twin's truth and with the registers QEMU printed.</summary>
internal static class EngineCheck
{
    private const int HeaderBytes = 0x40;

    /// <summary>Globals that hold the same value while a twin runs and in its dump.</summary>
    private static readonly string[] Globals = ["PsInitialSystemProcess", "KiProcessorBlock", "NtBuildNumber", "MmPfnDatabase", "KeNumberProcessors"];

    /// <summary>The debugger's register names and QEMU's.</summary>
    private static readonly (string Engine, string Qemu)[] Registers =
    [
        ("rax", "RAX"), ("rbx", "RBX"), ("rcx", "RCX"), ("rdx", "RDX"), ("rsi", "RSI"), ("rdi", "RDI"), ("rsp", "RSP"), ("rbp", "RBP"), ("r8", "R8"), ("r9", "R9"), ("r10", "R10"),
        ("r11", "R11"), ("r12", "R12"), ("r13", "R13"), ("r14", "R14"), ("r15", "R15"), ("rip", "RIP"), ("efl", "RFL"),
    ];

    private static readonly (string Engine, string Qemu)[] Selectors = [("cs", "CS"), ("ss", "SS"), ("ds", "DS"), ("es", "ES"), ("fs", "FS"), ("gs", "GS")];

    public static IReadOnlyList<string> Questions(TwinTruth truth) =>
    [
        EngineVerdict.ReadOf(truth.Kernel.Base, HeaderBytes), EngineVerdict.ReadOf(truth.Kdbg.Va, truth.Kdbg.Size),
        .. truth.Globals.Where(global => Globals.Contains(global.Name)).Select(global => EngineVerdict.ReadOf(global.Va, sizeof(uint))),
    ];

    public static void Verdict(Differences differences, TwinTruth truth, IReadOnlyList<CpuRegisters> registers, EngineVerdict verdict)
    {
        differences.Require("engine opened the dump", verdict.Opened, verdict.Refusal ?? "no");
        differences.None("engine complains", verdict.Complaints);
        differences.Expect("engine: kernel base", truth.Kernel.Base, verdict.Target.KernelBase);
        differences.Expect("engine: PsLoadedModuleList", truth.Global("PsLoadedModuleList"), verdict.Target.PsLoadedModuleList);
        differences.Expect("engine: build", truth.Build.Number, verdict.Target.Build);
        differences.Expect("engine: build lab", truth.Build.Lab, verdict.Target.BuildLab);
        differences.Expect("engine: processors", truth.Cpus.Count, verdict.Target.Processors);
        differences.Require("engine: up-time", verdict.Target.Uptime is { } up && Math.Abs(up.TotalSeconds - truth.Times.UpTimeSeconds) < 1, $"{verdict.Target.Uptime}");
        differences.Require("engine: time", verdict.Target.SessionTime is { } time && (time - truth.Times.SystemTime).Duration() < TimeSpan.FromMilliseconds(1), $"{verdict.Target.SessionTime}");
        differences.Match("engine: module", truth.Drivers.Where(driver => !driver.Hidden), driver => driver.Base, verdict.Modules, module => module.Start, (driver, module) =>
            differences.Expect($"engine: end of {driver.Name}", driver.Base + driver.Size, module.End));
        CpusAreQemus(differences, registers, verdict);
        Memory(differences, truth, verdict);
    }

    private static void CpusAreQemus(Differences differences, IReadOnlyList<CpuRegisters> cpus, EngineVerdict verdict)
    {
        differences.Expect("engine: register sets", cpus.Count, verdict.Registers.Count);
        foreach (var (cpu, shown) in cpus.Zip(verdict.Registers))
        {
            foreach (var (name, qemu) in Registers)
                differences.Expect($"engine: CPU {cpu.Index} {name}", cpu[qemu], Shown(shown, name));
            foreach (var (name, qemu) in Selectors)
                differences.Expect($"engine: CPU {cpu.Index} {name}", cpu.Selectors[qemu], Shown(shown, name));
        }
    }

    private static ulong? Shown(IReadOnlyDictionary<string, ulong> registers, string name) => registers.TryGetValue(name, out var value) ? value : null;

    private static void Memory(Differences differences, TwinTruth truth, EngineVerdict verdict)
    {
        differences.Expect("engine: kernel begins with", "4d5a", Hex(verdict.Memory(truth.Kernel.Base, HeaderBytes).Take(2)));
        differences.Expect("engine: KDBG", truth.Kdbg.Decoded, Hex(verdict.Memory(truth.Kdbg.Va, truth.Kdbg.Size)));
        var bytes = new byte[sizeof(ulong)];
        foreach (var global in truth.Globals.Where(global => Globals.Contains(global.Name)))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, global.Value);
            differences.Expect($"engine: {global.Name}", Convert.ToHexStringLower(bytes.AsSpan(0, sizeof(uint))), Hex(verdict.Memory(global.Va, sizeof(uint))));
        }
    }

    private static string Hex(IEnumerable<byte?> bytes) => string.Concat(bytes.Select(one => one is { } known ? known.ToString("x2", System.Globalization.CultureInfo.InvariantCulture) : "??"));
}
