namespace Forengate.Memory;

/// <summary>
/// The core file of a QEMU process: what is left of a guest whose QEMU crashed, or was made to (<c>gcore</c>, <c>kill -ABRT</c>). Its mappings are searched for the guest's RAM by the command
/// line on its stack; registers of vCPUs are in the kernel (KVM) or in QEMU's own structures and are unknown. docs/formats/qemu-core.md.
/// </summary>
public sealed class QemuCoreFormat : IImageFormat
{
    public string Name => "qemu-core";

    public bool TakesLowSize => true;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => ProcessCore.Recognizes(head);

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(options);
        var (remarks, damage) = (new List<string>(), new List<string>());
        var core = ProcessCore.Read(file, options.Limits, damage, cancellation);
        if (!core.Program.Contains("qemu", StringComparison.OrdinalIgnoreCase) && !(core.Arguments is [var program, ..] && program.Contains("qemu", StringComparison.OrdinalIgnoreCase)))
        {
            var name = core.Program.Length == 0 ? "" : $" ({core.Program})";
            throw new ImageFormatException($"'{file.Path}' is the core of a process{name}, not of a machine: its segments have no physical addresses, and the process is not QEMU");
        }
        var arguments = QemuArguments.Parse(core.Arguments);
        if (!core.ArgumentsAreWhole)
            remarks.Add("QEMU's command line is not whole in the core: RAM's size and the machine type may be defaults");
        var placed = ProcessRam.Find(arguments, core.Regions(), options.RawLowSize, remarks);
        if (placed.Count == 0)
            throw new ImageFormatException($"'{file.Path}': {remarks[^1]}; was QEMU started without dump-guest-core=off, and does coredump_filter of the process keep shared memory?");
        var memory = new FileMemory(file, placed.SelectMany(core.Extents));
        if (memory.Size == 0 || memory.MissingBytes >= memory.Size)
        {
            var why = arguments.KeepsOutOfCores
                ? "QEMU was told to keep it out (dump-guest-core=off; libvirt does so unless the domain says <memory dumpCore='on'>)"
                : "coredump_filter of the process left out what RAM lies in (bits 1 and 3 are for shared memory)";
            throw new ImageFormatException($"'{file.Path}' is a core of QEMU without the guest's RAM: {why}");
        }
        if (memory.MissingBytes != 0)
            damage.Add($"0x{memory.MissingBytes:x} of 0x{memory.Size:x} bytes of RAM are not in the core");
        remarks.Add("registers of the guest's CPUs are not known: the core has those of QEMU's own threads");
        return new View(
            memory, [], new Consistency(ConsistencyLevel.MemoryOnly, "all threads of QEMU stood still when its core was written"),
            new ViewOrigin
            {
                Target = file.Path,
                Format = "core of a QEMU process",
                Producer = core.Program,
                Machine = arguments.Machine,
                GuestName = arguments.GuestName,
                Packing = "none",
                FileBytes = (ulong)file.Length,
                Blocks = [.. placed.GroupBy(part => part.Block).Select(block => new RamBlock(
                    block.Key, block.Aggregate(0UL, (sum, part) => sum + part.Range.Length), [.. block.Select(part => part.Range)], $"at 0x{block.First().HostAddress:x} in QEMU, by size"))],
                Remarks = remarks,
                Damage = damage,
            });
    }
}
