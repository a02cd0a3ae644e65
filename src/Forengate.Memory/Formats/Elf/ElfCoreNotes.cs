namespace Forengate.Memory;

/// <summary>What the notes of a machine's core say of its CPUs.</summary>
internal sealed class ElfCoreNotes
{
    /// <summary>More CPUs than any x86 machine that QEMU makes; more notes than that are not looked at.</summary>
    private const int MaxCpus = 8192;

    private const int MaxNotes = 64 * 1024;

    private readonly List<CpuState> _full = [];
    private readonly List<CpuState> _qemu = [];
    private readonly List<CpuState> _prStatus = [];
    private readonly List<int> _numbers = [];
    private int _notes;

    /// <summary>QEMU notes that could not be read: another version, or cut short.</summary>
    public int UnreadableQemuNotes { get; private set; }

    /// <summary>True when this program wrote the core, by its notes.</summary>
    public bool IsOurs { get; private set; }

    /// <summary>True when QEMU made the core, by its notes.</summary>
    public bool IsQemu => !IsOurs && (_qemu.Count != 0 || UnreadableQemuNotes != 0);

    /// <summary>Walks one PT_NOTE segment.</summary>
    public void Add(ReadOnlySpan<byte> segment)
    {
        while (_notes++ < MaxNotes && ElfNote.TryTake(ref segment, out var note))
        {
            if (note.Name.SequenceEqual(FullCpuNote.NoteName))
            {
                IsOurs = true;
                if (FullCpuNote.Is(note) && _full.Count < MaxCpus && FullCpuNote.Parse(note.Description) is { } full)
                    _full.Add(full);
            }
            else if (QemuCpuNote.Is(note))
            {
                if (_qemu.Count < MaxCpus && QemuCpuNote.Parse(note.Description, _qemu.Count) is { } cpu)
                    _qemu.Add(cpu);
                else
                    UnreadableQemuNotes++;
            }
            else if (PrStatusNote.Is(note) && _prStatus.Count < MaxCpus)
            {
                _numbers.Add((int)Math.Min(PrStatusNote.Pid(note.Description), int.MaxValue) - 1);
                _prStatus.Add(PrStatusNote.Parse(note.Description, _prStatus.Count));
            }
        }
    }

    /// <summary>The CPUs: from our own notes where they are all there, else from QEMU's where there are any, numbered as the hypervisor numbers them.</summary>
    public IReadOnlyList<CpuState> Cpus()
    {
        // Cut off behind QEMU's notes, fewer of ours may be left: then QEMU's know more.
        if (_full.Count != 0 && _full.Count >= _qemu.Count)
            return [.. _full];
        var cpus = _qemu.Count != 0 ? _qemu : _prStatus;
        // The numbers are QEMU's alone: elsewhere the field is a process, or nothing. With a CPU unplugged they have a gap.
        var numbered = _qemu.Count != 0 && _numbers.Count == cpus.Count && _numbers[0] >= 0 && IsAscending(_numbers);
        return numbered ? [.. cpus.Select((cpu, i) => cpu with { Index = _numbers[i] })] : [.. cpus];
    }

    private static bool IsAscending(List<int> numbers)
    {
        for (var i = 1; i < numbers.Count; i++)
        {
            if (numbers[i] <= numbers[i - 1])
                return false;
        }
        return true;
    }
}
