using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A nameless file in memory (memfd_create) that is filled through a mapping and then opened like any file. It ends with the last that holds it open.</summary>
internal sealed unsafe class MemoryFile : IDisposable
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

    /// <summary>Where it can be opened from within this process.</summary>
    public string Path => $"/proc/self/fd/{_file.Number}";

    public ulong Capacity => _region.Length;

    public byte* Start => _region.Start;

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

    /// <summary>Cuts the file off behind what was written. Nothing behind may be touched any more.</summary>
    public void SetLength(ulong length)
    {
        if (LinuxNative.SetLength(_file.Number, (long)length) != 0)
            throw new IOException($"memfd: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
    }

    public void Dispose()
    {
        _region.Dispose();
        _file.Dispose();
    }
}
