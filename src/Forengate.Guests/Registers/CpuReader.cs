using System.Globalization;
using System.Text.Json;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// All registers that a stopped guest's monitor gives: QEMU's ELF notes (general registers, segments, control registers, KERNEL_GS_BASE), HMP's <c>info registers</c>
/// (EFER, debug registers, FPU, vectors, RFLAGS with TCG's lazy flags worked out) and the local APIC's task priority (CR8). LSTAR and other MSRs are in none of them, and come from the
/// devices' state (<see cref="DeviceStateFile"/>) where QEMU gives it.
/// </summary>
internal sealed class CpuReader : IDisposable
{
    private const int MostCpus = 4096;

    private readonly IGuestMonitor _monitor;
    private readonly Dictionary<long, long> _apicIds = [];
    private DeviceStateFile? _devices;

    /// <summary>Learns now, before the guest stands still, what does not change.</summary>
    public CpuReader(IGuestMonitor monitor, CancellationToken ct)
    {
        _monitor = monitor;
        // APIC ids equal CPU indexes only in simple topologies: QOM tells.
        foreach (var cpu in (monitor.TryQmp("query-cpus-fast", null, ct) ?? default).Items())
        {
            if (cpu.Integer("cpu-index") is not { } index || cpu.Text("qom-path") is not { } path || _apicIds.Count >= MostCpus)
                continue;
            var id = monitor.TryQmp("qom-get", w => { w.WriteString("path", path); w.WriteString("property", "apic-id"); }, ct);
            if (id is { ValueKind: JsonValueKind.Number } number && number.TryGetInt64(out var value))
                _apicIds.TryAdd(index, value);
        }
    }

    /// <summary>Makes ready, before the guest stands still, what is needed for the registers that only its devices' state has.</summary>
    public void Prepare(List<string> remarks, CancellationToken ct)
    {
        _devices = DeviceStateFile.Prepare(_monitor, ct, out var reason);
        if (reason is not null)
            remarks.Add($"{DeviceStateFile.Missing}: {reason}");
        Rehearse(ct);
    }

    /// <summary>Does once while the guest runs what is done when it stands, so that no code is made ready then.</summary>
    public void Rehearse(CancellationToken ct)
    {
        foreach (var cpu in HmpRegisters.Parse(_monitor.TryHuman("info registers -a", ct)).Take(1))
            _ = Disagreement(cpu, cpu);
        if (_apicIds.Count > 0)
            _ = TaskPriority((int)_apicIds.Keys.First(), ct);
    }

    /// <summary>All CPUs of the guest, which stands still, in QEMU's order.</summary>
    public List<CpuState> Read(List<string> remarks, CancellationToken ct)
    {
        var monitor = _monitor;
        var notes = monitor.ReadCpuNotes(ct, out var reason) is { } file ? ElfNotes.Parse(file) : [];
        var text = HmpRegisters.Parse(monitor.TryHuman("info registers -a", ct));
        if (notes.Count == 0)
            remarks.Add($"no ELF notes of the CPUs ({reason ?? "QEMU wrote none"}): KERNEL_GS_BASE is unknown");
        if (text.Count == 0)
            remarks.Add("'info registers -a' gave nothing: EFER, debug and floating-point registers are unknown");
        if (notes.Count > 0 && text.Count > 0 && notes.Count != text.Count)
            remarks.Add($"QEMU's ELF notes speak of {notes.Count} CPUs, 'info registers' of {text.Count}");
        var cpus = new List<CpuState>();
        for (var i = 0; i < Math.Max(notes.Count, text.Count); i++)
        {
            var note = i < notes.Count ? notes[i] : null;
            var hmp = i < text.Count ? text[i] : null;
            var merged = note is null ? hmp! : hmp is null ? note : Merge(note, hmp, remarks);
            cpus.Add(merged with { Cr8 = TaskPriority(i, ct) });
        }
        return _devices is null ? cpus : Complete(cpus, remarks, ct);
    }

    private List<CpuState> Complete(List<CpuState> cpus, List<string> remarks, CancellationToken ct)
    {
        var state = _devices!.Save(ct, out var reason);
        var saved = state is { } bytes ? DeviceStateCpus.Read(bytes, out reason) : [];
        if (reason is null && saved.Count < cpus.Count)
            reason = $"it has {saved.Count} of {cpus.Count} CPUs";
        for (var i = 0; reason is null && i < cpus.Count; i++)
            reason = Disagreement(cpus[i], saved[i]);
        if (reason is null)
            return [.. cpus.Select((cpu, i) => Complete(cpu, saved[i]))];
        remarks.Add($"{DeviceStateFile.Missing}: {reason}");
        return cpus;
    }

    /// <summary>
    /// Both are of one instant: what both have must be the same, and lies on both sides of what only one has (EFER before LSTAR, KERNEL_GS_BASE behind it). Null when it is.
    /// </summary>
    internal static string? Disagreement(CpuState read, CpuState saved)
    {
        ReadOnlySpan<(string Name, ulong? Read, ulong? Saved)> both =
        [
            ("RIP", read.Rip, saved.Rip), ("RSP", read.Rsp, saved.Rsp), ("RAX", read.Rax, saved.Rax), ("RBX", read.Rbx, saved.Rbx), ("R15", read.R15, saved.R15), ("CR0", read.Cr0, saved.Cr0),
            ("CR3", read.Cr3, saved.Cr3), ("CR4", read.Cr4, saved.Cr4), ("EFER", read.Efer, saved.Efer), ("KERNEL_GS_BASE", read.KernelGsBase, saved.KernelGsBase), ("DR7", read.Dr7, saved.Dr7),
        ];
        foreach (var (name, here, there) in both)
        {
            if (here is { } value && there != value)
                return string.Create(CultureInfo.InvariantCulture, $"CPU {read.Index}: {name} is 0x{value:x} by the monitor and 0x{there:x} in it");
        }
        return null;
    }

    /// <summary>QEMU's text leaves out what is 0, and shortens; but RFLAGS and CR8 are worked out there, and in no state of TCG's.</summary>
    private static CpuState Complete(CpuState read, CpuState saved) => read with
    {
        Source = read.Source + ", device state",
        Efer = saved.Efer ?? read.Efer,
        Star = saved.Star,
        LStar = saved.LStar,
        CStar = saved.CStar,
        SfMask = saved.SfMask,
        KernelGsBase = saved.KernelGsBase ?? read.KernelGsBase,
        Pat = saved.Pat,
        SysenterCs = saved.SysenterCs,
        SysenterEsp = saved.SysenterEsp,
        SysenterEip = saved.SysenterEip,
        Tsc = saved.Tsc,
        TscAux = saved.TscAux,
        Xcr0 = saved.Xcr0,
        Dr0 = saved.Dr0 ?? read.Dr0,
        Dr1 = saved.Dr1 ?? read.Dr1,
        Dr2 = saved.Dr2 ?? read.Dr2,
        Dr3 = saved.Dr3 ?? read.Dr3,
        Dr6 = saved.Dr6 ?? read.Dr6,
        Dr7 = saved.Dr7 ?? read.Dr7,
        Fcw = saved.Fcw ?? read.Fcw,
        Fsw = saved.Fsw ?? read.Fsw,
        Ftw = saved.Ftw ?? read.Ftw,
        MxCsr = saved.MxCsr ?? read.MxCsr,
        St = saved.St ?? read.St,
        Xmm = saved.Xmm ?? read.Xmm,
        YmmHigh = saved.YmmHigh ?? read.YmmHigh,
    };

    /// <summary>Takes back what QEMU was given.</summary>
    public void Dispose() => _devices?.Dispose();

    internal static CpuState Merge(CpuState note, CpuState hmp, List<string> remarks)
    {
        // HMP shortens to 32 bits when the CPU runs 32-bit code.
        if (hmp.Rip is { } rip && rip != note.Rip && rip != (note.Rip & uint.MaxValue))
        {
            remarks.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"CPU {note.Index}: RIP is 0x{note.Rip:x} in the ELF note and 0x{rip:x} in 'info registers'; the other registers of 'info registers' were left out"));
            return note;
        }
        return note with
        {
            Source = "QEMU's ELF note, HMP info registers",
            // QEMU's TCG keeps the arithmetic flags apart: only HMP has them worked out.
            Rflags = hmp.Rflags ?? note.Rflags,
            Dr0 = hmp.Dr0,
            Dr1 = hmp.Dr1,
            Dr2 = hmp.Dr2,
            Dr3 = hmp.Dr3,
            Dr6 = hmp.Dr6,
            Dr7 = hmp.Dr7,
            Efer = hmp.Efer,
            Fcw = hmp.Fcw,
            Fsw = hmp.Fsw,
            Ftw = hmp.Ftw,
            MxCsr = hmp.MxCsr,
            St = hmp.St,
            Xmm = hmp.Xmm,
            YmmHigh = hmp.YmmHigh,
        };
    }

    /// <summary>CR8 is the upper half of the local APIC's task priority register (Intel SDM vol. 3, 11.8.6).</summary>
    private ulong? TaskPriority(int index, CancellationToken ct) => _apicIds.TryGetValue(index, out var apicId)
        ? ParseTaskPriority(_monitor.TryHuman(string.Create(CultureInfo.InvariantCulture, $"info lapic {apicId}"), ct))
        : null;

    internal static ulong? ParseTaskPriority(string lapic)
    {
        const string Label = "TPR 0x";
        var at = lapic.IndexOf(Label, StringComparison.Ordinal);
        if (at < 0 || lapic.Length < at + Label.Length + 2)
            return null;
        return byte.TryParse(lapic.AsSpan(at + Label.Length, 2), NumberStyles.AllowHexSpecifier, null, out var priority) ? (ulong)(priority >> 4) : null;
    }
}
