using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Which blocks of virtio-mem devices are plugged. No monitor command lists them. QEMU's own dump leaves out the others, though, and names what it is going to write in its first bytes: those are read,
/// and the dump is broken off. Of a guest that runs it would stop, there only what the host has pages for is known: a plugged block that the guest never touched has none.
/// </summary>
internal static unsafe class PluggedBlocks
{
    private const string DescriptorName = "forengate-blocks";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    /// <summary>More program headers than that are counted elsewhere (ELF, PN_XNUM), and are more than a PC has memory for.</summary>
    private const int MostSegments = 0xFFFF;

    /// <summary>Entries of /proc/PID/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst): in memory, or swapped out.</summary>
    private const ulong PagePresent = 1UL << 63, PageSwapped = 1UL << 62;

    /// <summary>What QEMU says, of a guest that stands still. Null, with a remark, where it does not say.</summary>
    public static List<PhysicalRange>? Ask(IGuestMonitor monitor, IReadOnlyList<VirtioMemDevice> devices, List<string> remarks, CancellationToken ct)
    {
        var plugged = new List<PhysicalRange>();
        foreach (var device in devices)
        {
            if (device.Size == 0)
                continue;
            if (device.Unplugged == 0)
            {
                Append(plugged, device.Range);
                continue;
            }
            var found = Ask(monitor, device, out var reason, ct);
            if (found is null || found.Aggregate(0UL, (sum, range) => sum + range.Length) != device.Size)
            {
                remarks.Add($"QEMU does not say which blocks of {device.Id} are plugged ({reason ?? "its dump names others than it counts"}): those that the host has pages for were taken");
                return null;
            }
            foreach (var range in found)
                Append(plugged, range);
        }
        return plugged;
    }

    /// <summary>The blocks that the host has a page for.</summary>
    /// <param name="map">All of the devices' memory.</param>
    /// <param name="process">QEMU.</param>
    /// <param name="devices">By address.</param>
    public static List<PhysicalRange> Touched(GuestMemoryMap map, QemuProcess process, IReadOnlyList<VirtioMemDevice> devices)
    {
        using var backends = SharedBackends.Open(map, process);
        using var pagemap = new Descriptor(LinuxNative.Open($"/proc/{process.Id}/pagemap", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC));
        var touched = new List<PhysicalRange>();
        foreach (var device in devices.Where(device => device.Size != 0))
        {
            foreach (var part in map.Parts.Where(part => part.Start.Value < device.Address + device.Region && device.Address < part.End.Value))
            {
                for (var at = part.Start.Value; at < part.End.Value;)
                {
                    var end = Math.Min(part.End.Value, (at / device.Block + 1) * device.Block);
                    if (device.Unplugged == 0 || IsTouched(backends, pagemap, part.HostAddress + (at - part.Start.Value), end - at))
                        Append(touched, new PhysicalRange(new PhysicalAddress(at), end - at));
                    at = end;
                }
            }
        }
        return touched;
    }

    private static bool IsTouched(SharedBackends backends, Descriptor pagemap, ulong host, ulong length)
    {
        for (var done = 0UL; done < length;)
        {
            if (!backends.TryGetExtent(host + done, length - done, out var extent, out var part))
                return pagemap.IsInvalid || HasPages(pagemap, host + done, length - done);
            if (part != BackendPart.Hole)
                return true;
            done += extent;
        }
        return false;
    }

    private static bool HasPages(Descriptor pagemap, ulong host, ulong length)
    {
        const int AtOnce = 512;
        Span<ulong> entries = stackalloc ulong[AtOnce];
        for (var page = host >> Page.Shift; page < (host + length) >> Page.Shift;)
        {
            var count = (int)Math.Min(AtOnce, ((host + length) >> Page.Shift) - page);
            nint got;
            fixed (ulong* start = entries)
                got = LinuxNative.ReadAt(pagemap.Number, (byte*)start, (nuint)count * sizeof(ulong), (long)(page * sizeof(ulong)));
            // What can't be told is taken for memory.
            if (got < count * sizeof(ulong))
                return true;
            foreach (var entry in entries[..count])
            {
                if ((entry & (PagePresent | PageSwapped)) != 0)
                    return true;
            }
            page += (ulong)count;
        }
        return false;
    }

    private static List<PhysicalRange>? Ask(IGuestMonitor monitor, VirtioMemDevice device, out string? reason, CancellationToken ct)
    {
        var (reading, writing) = SnapshotStream.MakePipe();
        using (reading)
        {
            try
            {
                using (writing)
                    monitor.PassDescriptor(DescriptorName, writing.Number, ct);
            }
            catch (QmpRefusedException e)
            {
                reason = e.Message;
                return null;
            }
            string? failure = null;
            var dump = new Thread(() =>
            {
                try
                {
                    monitor.Qmp(
                        "dump-guest-memory", w =>
                        {
                            w.WriteBoolean("paging", false);
                            w.WriteString("protocol", "fd:" + DescriptorName);
                            w.WriteNumber("begin", device.Address);
                            w.WriteNumber("length", device.Region);
                        }, CancellationToken.None);
                }
                catch (Exception e)
                {
                    // It fails as soon as nobody reads any more.
                    failure = e.Message;
                }
            })
            { IsBackground = true, Name = "block list" };
            dump.Start();
            var head = ReadHead(reading, dump, ct);
            reading.Dispose();
            dump.Join();
            reason = head is null ? failure ?? "its dump ends before its list" : null;
            return head is null ? null : Parse(head, device);
        }
    }

    /// <summary>The file up to the end of its program headers.</summary>
    private static byte[]? ReadHead(Descriptor reading, Thread writer, CancellationToken ct)
    {
        var bytes = new byte[64 << 10];
        var (length, started) = (0, Environment.TickCount64);
        while (!ct.IsCancellationRequested)
        {
            if (HeadLength(bytes.AsSpan(0, length)) is { } whole)
            {
                if (length >= whole)
                    return bytes[..whole];
                if (whole > bytes.Length)
                    Array.Resize(ref bytes, whole);
            }
            var poll = new LinuxNative.PollDescriptor { Descriptor = reading.Number, Events = LinuxNative.POLLIN };
            var ready = LinuxNative.Poll(&poll, 1, 20);
            nint got = 0;
            if (ready > 0)
            {
                fixed (byte* start = bytes)
                    got = LinuxNative.Read(reading.Number, start + length, (nuint)(bytes.Length - length));
            }
            if (ready > 0 && got <= 0 && !(got < 0 && Marshal.GetLastPInvokeError() == LinuxNative.EINTR))
                return null;
            length += (int)Math.Max(0, got);
            if (got <= 0 && (!writer.IsAlive || Environment.TickCount64 - started > s_patience.TotalMilliseconds))
                return null;
        }
        return null;
    }

    /// <summary>Bytes up to the end of the program headers; null as long as it is not known.</summary>
    private static int? HeadLength(ReadOnlySpan<byte> file)
    {
        if (file.Length < ElfHeaderSize || !file.StartsWith("\u007fELF"u8))
            return null;
        var count = BinaryPrimitives.ReadUInt16LittleEndian(file[ProgramHeaderCount..]);
        var table = BinaryPrimitives.ReadUInt64LittleEndian(file[ProgramHeaders..]);
        return count == MostSegments || table > int.MaxValue / 2 ? null : (int)table + (count * ProgramHeaderSize);
    }

    // ELF-64 (System V ABI): offsets in the file's header and in a program header.
    private const int ElfHeaderSize = 64, ProgramHeaders = 0x20, ProgramHeaderCount = 0x38, ProgramHeaderSize = 56;
    private const int SegmentType = 0, SegmentAddress = 0x18, SegmentSize = 0x28;
    private const uint Load = 1;

    internal static List<PhysicalRange>? Parse(ReadOnlySpan<byte> head, VirtioMemDevice device)
    {
        var found = new List<PhysicalRange>();
        var table = (int)BinaryPrimitives.ReadUInt64LittleEndian(head[ProgramHeaders..]);
        for (var at = table; at + ProgramHeaderSize <= head.Length; at += ProgramHeaderSize)
        {
            var header = head[at..];
            if (BinaryPrimitives.ReadUInt32LittleEndian(header[SegmentType..]) != Load)
                continue;
            var start = Math.Max(BinaryPrimitives.ReadUInt64LittleEndian(header[SegmentAddress..]), device.Address);
            var size = BinaryPrimitives.ReadUInt64LittleEndian(header[SegmentSize..]);
            var end = Math.Min(unchecked(BinaryPrimitives.ReadUInt64LittleEndian(header[SegmentAddress..]) + size), device.Address + device.Region);
            if (start < end)
                found.Add(new PhysicalRange(new PhysicalAddress(start), end - start));
        }
        found.Sort((left, right) => left.Start.CompareTo(right.Start));
        var merged = new List<PhysicalRange>();
        foreach (var range in found)
        {
            if (merged.Count > 0 && range.Start < merged[^1].End)
                return null;
            Append(merged, range);
        }
        return merged;
    }

    private static void Append(List<PhysicalRange> ranges, PhysicalRange range)
    {
        if (ranges.Count > 0 && ranges[^1].End == range.Start)
            ranges[^1] = ranges[^1] with { Length = ranges[^1].Length + range.Length };
        else
            ranges.Add(range);
    }
}
