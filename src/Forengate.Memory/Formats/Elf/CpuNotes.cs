namespace Forengate.Memory;

/// <summary>
/// The notes that carry CPUs in ELF cores and kdumps: NT_PRSTATUS and QEMU's of every CPU, in the order QEMU writes them, so that readers of QEMU's files find what they expect, and
/// behind them one of our own a CPU that holds every register (<see cref="FullCpuNote"/>), which other readers pass over.
/// </summary>
public static class CpuNotes
{
    /// <summary>All notes of all CPUs, padded, one behind the other: the content of a PT_NOTE segment or of a kdump's note area. Empty where there are no CPUs.</summary>
    public static byte[] Write(IReadOnlyList<CpuState> cpus)
    {
        var notes = new ElfNoteWriter();
        AddTo(notes, cpus);
        return notes.Written.ToArray();
    }

    /// <summary>
    /// What is not as it was in the notes that others read, a line each: registers that are unknown are zeros there, and QEMU's note has no room for the rest. Nothing of it is lost to
    /// readers that know <see cref="FullCpuNote"/>. Empty where there are no CPUs.
    /// </summary>
    public static IReadOnlyList<string> Lost(IReadOnlyList<CpuState> cpus)
    {
        var lost = new List<string>();
        foreach (var group in cpus.GroupBy(cpu => string.Join(", ", QemuCpuNote.Unknown(cpu))).Where(group => group.Key.Length != 0))
        {
            lost.Add($"{Who(group, cpus.Count)}: registers that the source does not know are zeros in QEMU's notes, which programs other than this one take for real: {group.Key}");
        }
        foreach (var group in cpus.GroupBy(cpu => string.Join(", ", QemuCpuNote.NoRoom(cpu))).Where(group => group.Key.Length != 0))
            lost.Add($"{Who(group, cpus.Count)}: QEMU's notes have no room for {group.Key}; only this program's own notes hold them");
        return lost;
    }

    internal static void AddTo(ElfNoteWriter notes, IReadOnlyList<CpuState> cpus)
    {
        var is64 = Is64(cpus);
        foreach (var cpu in cpus)
            PrStatusNote.Add(notes, cpu, is64);
        foreach (var cpu in cpus)
            QemuCpuNote.Write(cpu, notes.Add(QemuCpuNote.NoteName, 0, QemuCpuNote.Size));
        foreach (var cpu in cpus)
            FullCpuNote.Write(cpu, notes.Add(FullCpuNote.NoteName, FullCpuNote.NoteType, FullCpuNote.Size));
    }

    /// <summary>QEMU decides by the first CPU's long mode whether a core is of x64 or i386 (target/i386/arch_dump.c, cpu_get_dump_info); where that is unknown: x64.</summary>
    internal static bool Is64(IReadOnlyList<CpuState> cpus) => cpus.Count == 0 || cpus[0].IsLongMode != false;

    private static string Who(IEnumerable<CpuState> group, int all)
    {
        const int Named = 8;
        var cpus = group.ToArray();
        return cpus.Length == all
            ? "every CPU"
            : (cpus.Length == 1 ? "CPU " : "CPUs ") + string.Join(", ", cpus.Take(Named).Select(cpu => cpu.Index)) + (cpus.Length > Named ? ", …" : "");
    }
}
