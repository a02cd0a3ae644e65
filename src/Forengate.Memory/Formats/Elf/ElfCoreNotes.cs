namespace Forengate.Memory;

/// <summary>What the notes of a machine's core say of its CPUs.</summary>
internal sealed class ElfCoreNotes
{
    /// <summary>More CPUs than any x86 machine that QEMU makes; more notes than that are not looked at.</summary>
    private const int MaxCpus = 8192;

    private const int MaxNotes = 64 * 1024;

    private readonly List<CpuState> _full = [];
    private readonly List<CpuState> _virtualBox = [];
    private readonly List<CpuState> _qemu = [];
    private readonly List<CpuState> _prStatus = [];
    private readonly List<int> _numbers = [];
    private readonly List<FileExtent> _gaps = [];
    private bool _virtualBoxIsKnown;
    private int _notes;

    /// <summary>Who wrote the core.</summary>
    public ElfMaker Maker { get; private set; }

    public bool IsQemu => Maker == ElfMaker.Qemu;

    /// <summary>The same with the version, where the notes say it; null where they say nothing.</summary>
    public string? Producer { get; private set; }

    /// <summary>Where the memory came from, in cores that this program wrote.</summary>
    public OriginNote? Origin { get; private set; }

    /// <summary>Memory that the core has no bytes for, in cores that this program wrote.</summary>
    public IReadOnlyList<FileExtent> Gaps => _gaps;

    /// <summary>Notes of CPUs that could not be read: another version, or cut short.</summary>
    public int UnreadableCpus { get; private set; }

    /// <summary>Walks one PT_NOTE segment.</summary>
    public void Add(ReadOnlySpan<byte> segment)
    {
        while (_notes++ < MaxNotes && ElfNote.TryTake(ref segment, out var note))
        {
            if (note.Name.SequenceEqual(FullCpuNote.NoteName))
                AddOurs(note);
            else if (QemuCpuNote.Is(note))
                AddQemu(note);
            else if (VirtualBoxNotes.IsDescriptor(note) || VirtualBoxNotes.IsCpu(note))
                AddVirtualBox(note);
            else if (PrStatusNote.Is(note) && _prStatus.Count < MaxCpus)
            {
                _numbers.Add((int)Math.Min(PrStatusNote.Pid(note.Description), int.MaxValue) - 1);
                _prStatus.Add(PrStatusNote.Parse(note.Description, _prStatus.Count));
            }
        }
    }

    /// <summary>The CPUs: from our own notes where they are all there, else from the hypervisor's where there are any, numbered as the hypervisor numbers them.</summary>
    public IReadOnlyList<CpuState> Cpus()
    {
        // Cut off behind QEMU's notes, fewer of ours may be left: then QEMU's know more.
        if (_full.Count != 0 && _full.Count >= _qemu.Count)
            return [.. _full];
        if (_virtualBox.Count != 0)
            return [.. _virtualBox];
        var cpus = _qemu.Count != 0 ? _qemu : _prStatus;
        // The numbers are QEMU's alone: elsewhere the field is a process, or nothing. With a CPU unplugged they have a gap.
        var numbered = _qemu.Count != 0 && _numbers.Count == cpus.Count && _numbers[0] >= 0 && IsAscending(_numbers);
        return numbered ? [.. cpus.Select((cpu, i) => cpu with { Index = _numbers[i] })] : [.. cpus];
    }

    private void AddOurs(in ElfNote note)
    {
        if (OriginNote.Is(note))
            Origin ??= OriginNote.Parse(note.Description);
        else if (GapsNote.Is(note) && _gaps.Count == 0)
            _gaps.AddRange(GapsNote.Parse(note.Description));
        else if (FullCpuNote.Is(note))
        {
            if (_full.Count < MaxCpus && FullCpuNote.Parse(note.Description) is { } full)
                _full.Add(full);
            else
                UnreadableCpus++;
        }
        (Maker, Producer) = (ElfMaker.Forengate, "Forengate");
    }

    private void AddQemu(in ElfNote note)
    {
        if (_qemu.Count < MaxCpus && QemuCpuNote.Parse(note.Description, _qemu.Count) is { } cpu)
            _qemu.Add(cpu);
        else
            UnreadableCpus++;
        if (Maker == ElfMaker.Unknown)
            (Maker, Producer) = (ElfMaker.Qemu, "QEMU");
    }

    private void AddVirtualBox(in ElfNote note)
    {
        if (VirtualBoxNotes.IsDescriptor(note))
        {
            if (Maker == ElfMaker.Unknown && VirtualBoxNotes.TryReadDescriptor(note.Description, out var version, out _virtualBoxIsKnown))
                (Maker, Producer) = (ElfMaker.VirtualBox, $"VirtualBox {version}");
        }
        else if (Maker == ElfMaker.VirtualBox)
        {
            if (_virtualBoxIsKnown && _virtualBox.Count < MaxCpus && VirtualBoxNotes.ParseCpu(note.Description, _virtualBox.Count) is { } cpu)
                _virtualBox.Add(cpu);
            else
                UnreadableCpus++;
        }
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
