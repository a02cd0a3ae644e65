using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A <see cref="CopyFile"/> in memory (memfd_create), filled through a mapping.</summary>
internal sealed unsafe class MemoryFile : CopyFile
{
    /// <summary>What is made present at a time, so that it can be cancelled.</summary>
    private const ulong Chunk = 64 << 20;

    private readonly Descriptor _file;
    private readonly MappedRegion _region;

    private MemoryFile(Descriptor file, MappedRegion region)
    {
        _file = file;
        _region = region;
    }

    public override string Path => $"/proc/self/fd/{_file.Number}";

    public override ulong Capacity => _region.Length;

    public override Span<byte> Space(int most) => new(_region.Start + Used, (int)Math.Min((ulong)most, Capacity - Used));

    /// <summary>A file of which the first <paramref name="present"/> bytes are memory already, and as many as <paramref name="capacity"/> may be written. Null when the host has not enough.</summary>
    public static MemoryFile? Create(ulong present, ulong capacity, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        const uint CloseOnExec = 1;
        var file = new Descriptor(LinuxNative.CreateMemoryFile("forengate-guest", CloseOnExec));
        if (file.IsInvalid || LinuxNative.SetLength(file.Number, (long)capacity) != 0 || MappedRegion.WritableFile(file, capacity) is not { } region)
        {
            file.Dispose();
            return null;
        }
        var memory = new MemoryFile(file, region);
        try
        {
            for (var at = 0UL; at < present; at += Chunk)
            {
                ct.ThrowIfCancellationRequested();
                if (!region.Populate(at, Math.Min(Chunk, present - at)))
                {
                    memory.Dispose();
                    return null;
                }
                progress?.Report(new CaptureProgress(CapturePhase.PreparingMemory, Math.Min(present, at + Chunk), present));
            }
            return memory;
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    public override void Complete(Action? onTurn)
    {
        if (LinuxNative.SetLength(_file.Number, (long)Used) != 0)
            throw new IOException($"memfd: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
    }

    protected override void Dispose(bool disposing)
    {
        _region.Dispose();
        _file.Dispose();
    }
}
