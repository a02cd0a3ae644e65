using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// The files that shared guest RAM lies in (memfd, /dev/shm, a file), opened again read-only through the QEMU process. Reading a file, unlike reading the process, does not make the host
/// allocate the pages that the guest never touched or gave back, and holes cost nothing.
/// </summary>
/// <remarks>Memory on hugetlbfs is not read this way: a fault there can take a page out of the pool, or end us.</remarks>
internal sealed unsafe class SharedBackends : IDisposable
{
    private const int SeekEnd = 2;
    private const int SeekData = 3;
    private const int MostPagesAsked = 2048;

    /// <summary>What is read at once where it is not known how far the data goes.</summary>
    private const ulong SwappedAtOnce = 64 << 10;

    private readonly List<Backend> _backends = [];

    /// <param name="HostStart">First address of the mapping in QEMU.</param>
    /// <param name="Length">Of the mapping.</param>
    /// <param name="FileOffset">Of its beginning.</param>
    /// <param name="File">Read-only.</param>
    /// <param name="Size">Of the file: what lies behind it must not be touched.</param>
    /// <param name="View">Our own mapping of it; null where it could not be made.</param>
    /// <param name="Held">How well its pages stay where they are.</param>
    private sealed record Backend(ulong HostStart, ulong Length, ulong FileOffset, Descriptor File, ulong Size, MappedRegion? View, Hold Held);

    /// <summary>Who touches a page through a mapping that the file no more has, or that can't be read, is ended by the kernel: only a file in memory is touched, and while it is as long as it was.</summary>
    private enum Hold
    {
        /// <summary>On a disk, or the host has broken memory: only the kernel copies from it.</summary>
        None,

        /// <summary>In memory; it may be cut.</summary>
        InMemory,

        /// <summary>In memory, and sealed: nobody can cut it.</summary>
        Sealed,
    }

    public static SharedBackends Open(GuestMemoryMap map, QemuProcess process)
    {
        var backends = new SharedBackends();
        List<ProcessMapping> mappings;
        try
        {
            mappings = process.ReadMappings();
        }
        catch (GuestException)
        {
            return backends;
        }
        var seen = new HashSet<ulong>();
        foreach (var section in map.Sections)
        {
            // One block may be several mappings, where QEMU gave the kernel different advice for parts of it.
            for (var at = section.HostAddress; at < section.HostAddress + section.Length && ProcessMap.Find(mappings, at) is { } mapping; at = mapping.End)
            {
                if (mapping.Shared && mapping.Inode > 0 && seen.Add(mapping.Start) && TryOpen(process.Id, mapping) is { } backend)
                    backends._backends.Add(backend);
            }
        }
        return backends;
    }

    private static Backend? TryOpen(int id, ProcessMapping mapping)
    {
        if (OpenFile(id, mapping) is not { } file)
            return null;
        if (FileSystemKind.Of(file) is not (null or FileSystemKind.Hugetlb) && LinuxNative.Seek(file.Number, 0, SeekEnd) is > 0 and var size && mapping.Offset < (ulong)size)
        {
            var length = Math.Min(mapping.End - mapping.Start, (ulong)size - mapping.Offset);
            return new Backend(mapping.Start, length, mapping.Offset, file, (ulong)size, MappedRegion.SharedFile(file, mapping.Offset, length), HoldOf(file));
        }
        file.Dispose();
        return null;
    }

    /// <summary>What a mapped file lies in (<see cref="FileSystemKind"/>); null where it can't be opened.</summary>
    public static long? FileSystemOf(int id, in ProcessMapping mapping)
    {
        using var file = OpenFile(id, mapping);
        return file is null ? null : FileSystemKind.Of(file);
    }

    /// <summary>The file as QEMU has it, never by its name: in a container a name means another file, or none.</summary>
    private static Descriptor? OpenFile(int id, in ProcessMapping mapping)
    {
        // map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; the descriptors only the right to trace.
        string[] paths = [$"/proc/{id}/map_files/{mapping.Start:x}-{mapping.End:x}", .. DescriptorsOf(id, mapping.Path)];
        foreach (var path in paths)
        {
            var file = new Descriptor(LinuxNative.Open(path, LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC));
            if (!file.IsInvalid && IsThatFile(file, mapping))
                return file;
            file.Dispose();
        }
        return null;
    }

    private static List<string> DescriptorsOf(int id, string path)
    {
        var found = new List<string>();
        try
        {
            foreach (var link in Directory.EnumerateFiles($"/proc/{id}/fd"))
            {
                if (new FileInfo(link).LinkTarget == path)
                    found.Add(link);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
        return found;
    }

    /// <summary>The kernel must show the file we opened as the one QEMU mapped: the same inode.</summary>
    private static bool IsThatFile(Descriptor file, in ProcessMapping mapping)
    {
        try
        {
            foreach (var line in File.ReadLines($"/proc/self/fdinfo/{file.Number}"))
            {
                if (line.StartsWith("ino:", StringComparison.Ordinal))
                    return ulong.TryParse(line.AsSpan(4).Trim(), out var inode) && inode == mapping.Inode;
            }
        }
        catch (IOException)
        {
        }
        return false;
    }

    private static Hold HoldOf(Descriptor file)
    {
        const int GetSeals = 1034;
        const int SealShrink = 2;
        if (FileSystemKind.Of(file) != FileSystemKind.Tmpfs || HostMemory.HasBroken())
            return Hold.None;
        // memfd is tmpfs too, and QEMU seals it unless told not to (seal=off). An error is a negative number.
        var seals = LinuxNative.FileControl(file.Number, GetSeals, 0);
        return seals > 0 && (seals & SealShrink) != 0 ? Hold.Sealed : Hold.InMemory;
    }

    private Backend? Find(ulong hostAddress, ulong length)
    {
        foreach (var backend in _backends)
        {
            if (hostAddress >= backend.HostStart && hostAddress - backend.HostStart < backend.Length && backend.Length - (hostAddress - backend.HostStart) >= length)
                return backend;
        }
        return null;
    }

    /// <summary>True when a stretch from an address on lies in a file of ours; then says how much of it is alike, and what.</summary>
    public bool TryGetExtent(ulong hostAddress, ulong length, out ulong extent, out BackendPart part)
    {
        extent = 0;
        part = BackendPart.Elsewhere;
        if (Find(hostAddress, 1) is not { } backend)
            return false;
        var inMapping = hostAddress - backend.HostStart;
        extent = Math.Min(length, backend.Length - inMapping);
        if (backend.View is not { } view)
            return true;
        // SEEK_HOLE walks the file to the next hole, which may be its end: asked for each piece it would cost the square of the guest's size. mincore looks at the piece only.
        var pages = stackalloc byte[MostPagesAsked];
        var first = inMapping & ~Page.OffsetMask;
        var count = (int)Math.Min(MostPagesAsked, (inMapping - first + extent + Page.OffsetMask) >> Page.Shift);
        if (LinuxNative.ResidentPages((nint)(view.Start + first), (nuint)count << Page.Shift, pages) != 0)
            return true;
        var resident = (pages[0] & 1) != 0;
        var same = 1;
        while (same < count && ((pages[same] & 1) != 0) == resident)
            same++;
        var run = first + ((ulong)same << Page.Shift) - inMapping;
        if (resident)
        {
            part = BackendPart.InMemory;
            extent = Math.Min(extent, run);
            return true;
        }
        // Not in memory: swapped out, or never there. Only the file knows.
        var at = (long)(inMapping + backend.FileOffset);
        var data = LinuxNative.Seek(backend.File.Number, at, SeekData);
        // Behind the end of a file that was cut is no hole: who reads there must fail.
        if (data != at && (data >= 0 || LinuxNative.Seek(backend.File.Number, 0, SeekEnd) > at))
            part = BackendPart.Hole;
        if (part != BackendPart.Hole)
            extent = Math.Min(extent, Math.Min(run, SwappedAtOnce));
        else if (data > at)
            extent = Math.Min(extent, (ulong)(data - at));
        return true;
    }

    /// <summary>Makes the pages of a stretch that are in memory ready for <see cref="TryCopy"/>, so that it takes no page fault. Allocates nothing, and may be left out.</summary>
    public void Prepare(ulong hostAddress, ulong length)
    {
        for (var done = 0UL; done < length;)
        {
            if (!TryGetExtent(hostAddress + done, length - done, out var extent, out var part) || Find(hostAddress + done, extent) is not { View: { } view, Held: not Hold.None } backend)
                return;
            // What the file lacks, reading would allocate.
            if (part == BackendPart.InMemory)
            {
                var first = hostAddress + done - backend.HostStart & ~Page.OffsetMask;
                _ = LinuxNative.Advise((nint)(view.Start + first), (nuint)(hostAddress + done + extent - backend.HostStart - first), LinuxNative.MADV_POPULATE_READ);
            }
            done += extent;
        }
    }

    /// <summary>Copies a stretch that <see cref="TryGetExtent"/> found in memory, by our own mapping. False where only the kernel may.</summary>
    public bool TryCopy(ulong hostAddress, byte* target, ulong length)
    {
        if (Find(hostAddress, length) is not { View: { } view, Held: not Hold.None } backend)
            return false;
        var inMapping = hostAddress - backend.HostStart;
        if (backend.Held != Hold.Sealed && LinuxNative.Seek(backend.File.Number, 0, SeekEnd) < (long)(backend.FileOffset + inMapping + length))
            return false;
        WideCopy.Copy(target, view.Start + inMapping, length);
        return true;
    }

    /// <summary>All of a stretch, or false where it does not lie in a file of ours.</summary>
    public bool Read(in RamSection section, ulong offset, byte* target, ulong length)
    {
        if (Find(section.HostAddress + offset, length) is not { } backend)
            return false;
        var at = section.HostAddress + offset - backend.HostStart + backend.FileOffset;
        for (var done = 0UL; done < length;)
        {
            var got = LinuxNative.ReadAt(backend.File.Number, target + done, (nuint)Math.Min(length - done, 1UL << 30), (long)(at + done));
            if (got > 0)
                done += (ulong)got;
            else if (got == 0 || Marshal.GetLastPInvokeError() != LinuxNative.EINTR)
                return false;
        }
        return true;
    }

    /// <summary>As much as lies in the file without a hole from the offset on; nothing in a hole, which a look at it would fill.</summary>
    public ReadOnlySpan<byte> Map(RamSection section, ulong offset, int maxLength)
    {
        var address = section.HostAddress + offset;
        if (Find(address, 1) is not { View: { } view } backend)
            return default;
        if (!TryGetExtent(address, Math.Min((ulong)maxLength, section.Length - offset), out var extent, out var part) || part == BackendPart.Hole)
            return default;
        return new ReadOnlySpan<byte>(view.Start + (address - backend.HostStart), (int)extent);
    }

    public void Dispose()
    {
        foreach (var backend in _backends)
        {
            backend.View?.Dispose();
            backend.File.Dispose();
        }
    }
}
