using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// The CPUs' registers out of the state of all devices that QEMU writes when it is asked for that alone (QMP <c>xen-save-devices-state</c>; QEMU, migration/savevm.c): magic, version,
/// sections, and neither RAM nor a description. Only sections that are exactly as <see cref="CpuLayout"/> has them are believed.
/// </summary>
public static class DeviceStateCpus
{
    /// <summary>Type, id, length of the name.</summary>
    private const int NameAt = 1 + sizeof(uint) + 1;

    /// <summary>Instance and version, behind the name.</summary>
    private const int HeaderBytes = NameAt + 3 + (2 * sizeof(uint));

    private const int MostCpus = 4096;

    /// <summary>Reads all CPUs, in the order of their numbers. Never fails: what is not there or not understood is said.</summary>
    /// <param name="state">All of it.</param>
    /// <param name="problem">Null, or why there are no CPUs.</param>
    public static IReadOnlyList<CpuState> Read(ReadOnlyMemory<byte> state, out string? problem)
    {
        var bytes = state.Span;
        problem = null;
        if (bytes.Length < 2 * sizeof(uint) || BinaryPrimitives.ReadUInt32BigEndian(bytes) != MigrationLayout.Magic)
        {
            problem = $"{bytes.Length} bytes that are no device state";
            return [];
        }
        var isKvm = bytes.IndexOf("\u0008kvmclock"u8) >= 0;
        var cpus = new List<CpuState>();
        for (var at = 0; ;)
        {
            // Sections say nothing of their length, and most are unknown here: those of the CPUs are looked for. Their numbers go up from 0, and what is behind them must be right.
            var found = bytes[at..].IndexOf("\u0003cpu\0\0"u8);
            if (found < 0)
                break;
            var start = at + found + 1 - NameAt;
            at += found + 1;
            if (start < 0 || !IsSection(bytes[start..], cpus.Count, out var version))
                continue;
            if (version != CpuLayout.Version)
            {
                problem = $"the section of a CPU has version {version}, and only {CpuLayout.Version} is known";
                return [];
            }
            var data = state[(start + HeaderBytes)..];
            if (data.Length <= CpuLayout.Bytes || cpus.Count == MostCpus)
                break;
            if (!IsEnd(data.Span[CpuLayout.Bytes..], bytes.Slice(start + 1, sizeof(uint))))
                continue;
            cpus.Add(MigrationCpus.Read(new DeviceFields(CpuLayout.Node, data[..CpuLayout.Bytes]), (uint)cpus.Count, isKvm) with { Source = "device state" });
            at = start + HeaderBytes + CpuLayout.Bytes;
        }
        if (cpus.Count == 0)
            problem = "no section of a CPU is as it is known";
        return cpus;
    }

    private static bool IsSection(ReadOnlySpan<byte> bytes, int instance, out uint version)
    {
        version = 0;
        if (bytes.Length < HeaderBytes || bytes[0] != MigrationLayout.SectionFull || BinaryPrimitives.ReadUInt32BigEndian(bytes[(NameAt + 3)..]) != instance)
            return false;
        version = BinaryPrimitives.ReadUInt32BigEndian(bytes[(HeaderBytes - sizeof(uint))..]);
        return true;
    }

    /// <summary>Behind the fields: a subsection, named for the CPU, or the section's footer.</summary>
    private static bool IsEnd(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> id) => bytes[0] switch
    {
        MigrationLayout.Subsection => bytes.Length > 6 && bytes[2..6].SequenceEqual("cpu/"u8),
        MigrationLayout.Footer => bytes.Length > sizeof(uint) && bytes.Slice(1, sizeof(uint)).SequenceEqual(id),
        _ => false,
    };
}
