using System.Globalization;

namespace Forengate.Guests;

/// <summary>Where a guest's copy goes: memory as far as the host has it, and a file for the rest.</summary>
/// <param name="Memory">Bytes of memory: a multiple of <see cref="SpillFile.Block"/> where anything is spilled.</param>
/// <param name="Spilled">Bytes of disk; 0 for none.</param>
/// <param name="Folder">Of the file; null where there is none.</param>
/// <param name="BytesPerSecond">What its disk takes; 0 where there is none.</param>
internal sealed record CopyRoom(ulong Memory, ulong Spilled, string? Folder, double BytesPerSecond)
{
    /// <summary>What the host must keep besides the copy.</summary>
    public const ulong Reserve = 256 << 20;

    /// <summary>Memory for the blocks that are on their way to the disk.</summary>
    public const ulong Staging = 8 * SpillFile.Block;

    /// <summary>Below this a disk slows a guest that writes a lot and is being snapshot (docs/capture.md).</summary>
    private const double KeepsUp = 400e6;

    /// <summary>Where a copy is spilled when nothing better is known: on a disk by the file system's standard.</summary>
    private const string LastFolder = "/var/tmp";

    public ulong Size => Memory + Spilled;

    /// <summary>How long writing what is spilled takes.</summary>
    public TimeSpan Writing => Spilled == 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(Spilled / BytesPerSecond);

    /// <summary>For people, without a full stop; null where nothing is spilled.</summary>
    public string? Describe(bool snapshot)
    {
        if (Spilled == 0)
            return null;
        var cost = !snapshot ? string.Create(CultureInfo.InvariantCulture, $"the guest stands still about {Writing.TotalSeconds:0.0} s longer for it")
            : BytesPerSecond < KeepsUp ? string.Create(CultureInfo.InvariantCulture, $"a guest that writes much memory is slowed to that for about {Writing.TotalSeconds:0.0} s")
            : "fast enough not to slow the guest more than a snapshot does";
        return string.Create(CultureInfo.InvariantCulture,
            $"the host's memory has room for {Memory >> 20} MiB of the copy: {Spilled >> 20} MiB are spilled to {Folder}, which takes {BytesPerSecond / 1e6:0} MB/s ({cost})");
    }

    /// <summary>Finds room for a copy, and changes nothing but, where some must be spilled, writing a little to learn how fast that is.</summary>
    /// <param name="need">Bytes of the copy.</param>
    /// <param name="others">Memory that QEMU will take meanwhile.</param>
    /// <param name="more">Bytes of disk beside it, where anything is spilled.</param>
    /// <param name="options">What may be used.</param>
    /// <param name="obstacle">Why there is none, with figures and what would help; null when there is.</param>
    public static CopyRoom? Find(ulong need, ulong others, ulong more, CaptureOptions options, out (string Reason, GuestFailure Failure)? obstacle) =>
        Find(need, others, more, options, whole: false, out obstacle);

    private static CopyRoom? Find(ulong need, ulong others, ulong more, CaptureOptions options, bool whole, out (string Reason, GuestFailure Failure)? obstacle)
    {
        obstacle = null;
        var available = options.AvailableMemory ?? HostMemory.Available();
        if (available is not { } free || free >= need + others + Reserve)
            return new CopyRoom(need, 0, null, 0);
        var lacks = $"it needs {need + others >> 20} MiB of free host memory and {Reserve >> 20} MiB more, and there are {free >> 20} MiB";
        // Only the copy can be spilled.
        var kept = others + Reserve + Staging;
        if (free < kept)
        {
            obstacle = ($"{lacks}, too little even to spill it to a disk ({kept >> 20} MiB): free some memory", GuestFailure.NoMemory);
            return null;
        }
        var memory = whole ? 0 : Math.Min(need, free - kept) / SpillFile.Block * SpillFile.Block;
        var spilled = SpillFile.RoundUp(need - memory);
        foreach (var folder in options.SpillFolder is { } named ? [named] : options.OutputFolder is { } output ? [output, LastFolder] : (ReadOnlySpan<string>)[LastFolder])
        {
            obstacle = Obstacle(folder, spilled + more, need, options) is { } reason
                ? ($"{lacks}; it can't be spilled: {reason}; free memory, or name a folder on a disk with room (--spill)", GuestFailure.NoDisk) : null;
            if (obstacle is not null)
                continue;
            try
            {
                return new CopyRoom(memory, spilled, folder, SpillFile.Measure(folder, spilled));
            }
            catch (GuestException e)
            {
                obstacle = ($"{lacks}; {e.Message}", e.Failure);
            }
        }
        return null;
    }

    /// <summary>As <c>Find</c>, for a copy that can only lie in one place: in memory, or all of it on a disk.</summary>
    /// <param name="need">Bytes of the copy.</param>
    /// <param name="more">Bytes of disk beside it, where it is spilled.</param>
    /// <param name="options">What may be used.</param>
    /// <param name="obstacle">Why there is none; null when there is.</param>
    public static CopyRoom? FindWhole(ulong need, ulong more, CaptureOptions options, out (string Reason, GuestFailure Failure)? obstacle) => Find(need, 0, more, options, whole: true, out obstacle);

    private static string? Obstacle(string folder, ulong spilled, ulong need, CaptureOptions options)
    {
        if (SpillFile.Obstacle(folder, out var free, out var fileSystem) is { } reason)
            return reason;
        // What is written from the copy needs its place too.
        var output = options.OutputFolder is { } other && SpillFile.Obstacle(other, out _, out var its) is null && its == fileSystem ? need : 0;
        if (free >= spilled + output)
            return null;
        var both = output == 0 ? "" : $" and the output's {output >> 20} MiB";
        return $"{folder} has {free >> 20} MiB free for {spilled >> 20} MiB of it{both}";
    }
}
