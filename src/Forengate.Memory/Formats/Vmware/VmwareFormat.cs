namespace Forengate.Memory;

/// <summary>
/// VMware's suspended and snapshotted machines: a state file (.vmss, .vmsn) with memory within it or beside it in a .vmem. Either of the two may be named. docs/formats/vmware.md has the
/// layout.
/// </summary>
public sealed class VmwareFormat : IImageFormat
{
    public const string FormatName = "vmware";

    private const string MemoryExtension = ".vmem";

    private static readonly string[] s_stateExtensions = [".vmss", ".vmsn"];

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => VmwareState.IsState(head);

    /// <summary>The state file that belongs to a .vmem; null when there is none beside it.</summary>
    internal static string? StateOf(string path) => Path.GetExtension(path).Equals(MemoryExtension, StringComparison.OrdinalIgnoreCase)
        ? s_stateExtensions.Select(extension => Path.ChangeExtension(path, extension)).FirstOrDefault(File.Exists)
        : null;

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        var state = VmwareState.Read(file, options.Limits, cancellation);
        if (state.Memory is { } block)
        {
            if (block.IsPacked)
                throw new ImageFormatException($"'{file.Path}' holds its memory packed by VMware, in a way that is not documented; resume the machine and take a snapshot with a .vmem file");
            return MakeView(file, state, file, block.At, block.Size, null, options);
        }
        var path = Path.ChangeExtension(file.Path, MemoryExtension);
        if (!File.Exists(path))
            throw new ImageFormatException($"'{file.Path}' is the state of a VMware machine whose memory is in a file of its own: put {Path.GetFileName(path)} beside it");
        var memory = MappedFile.Open(path);
        try
        {
            return MakeView(file, state, memory, 0, (ulong)memory.Length, file, options);
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    private static View MakeView(MappedFile stateFile, VmwareState state, MappedFile memoryFile, ulong start, ulong length, MappedFile? hold, ImageOpenOptions options)
    {
        var memory = new FileMemory(memoryFile, state.Extents(length, start, options.Limits));
        if (memory.Ranges.Count == 0)
            throw new ImageFormatException($"'{stateFile.Path}' says nothing sensible of where its memory lies; say --format raw for the {MemoryExtension} alone");
        if (memory.MissingBytes != 0)
            state.Damage.Add($"'{memoryFile.Path}' is cut off: 0x{memory.MissingBytes:x} of 0x{memory.Size:x} bytes of memory are missing");
        var cpus = state.Cpus.All;
        return new View(
            memory, cpus, new Consistency(cpus.Count == 0 ? ConsistencyLevel.MemoryOnly : ConsistencyLevel.Instant, "VMware stops the machine while it saves its state"),
            new ViewOrigin
            {
                Target = stateFile.Path,
                Format = hold is null ? "VMware state with memory" : "VMware state and .vmem",
                Producer = "VMware",
                Packing = "none",
                FileBytes = (ulong)stateFile.Length + (hold is null ? 0 : (ulong)memoryFile.Length),
                Remarks = hold is null ? [] : [$"memory from {memoryFile.Path}"],
                Damage = state.Damage,
            },
            hold);
    }
}
