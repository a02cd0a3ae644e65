using System.Reflection;

namespace Forengate.Memory.Tests;

/// <summary>CPUs for tests of what carries them: every register that <see cref="CpuState"/> has, now and later.</summary>
internal static class CpuSamples
{
    /// <summary>A CPU in long mode of which every register is known and none is like another.</summary>
    public static CpuState Full(int index, int seed)
    {
        var random = new Random(seed);
        var cpu = new CpuState { Index = index };
        foreach (var property in Registers())
            property.SetValue(cpu, Sample(property.PropertyType, random));
        // A plain processor in long mode, as readers expect who decide by it.
        return cpu with { Efer = 0xD01, Cr0 = 0x8005_0033, Cr4 = 0x3_50EF8, Cs = cpu.Cs!.Value with { Selector = 0x10, Attributes = 0x20_9B00 } };
    }

    /// <summary>Properties that hold registers: all but the number and the source.</summary>
    public static IEnumerable<PropertyInfo> Registers() =>
        typeof(CpuState).GetProperties().Where(property => property.CanWrite && property.Name is not (nameof(CpuState.Index) or nameof(CpuState.Source)));

    /// <summary>Registers in which two CPUs differ; bytes are compared, not where they lie.</summary>
    public static IEnumerable<string> Differences(CpuState left, CpuState right)
    {
        foreach (var property in Registers())
        {
            var (a, b) = (property.GetValue(left), property.GetValue(right));
            var same = a is ReadOnlyMemory<byte> x && b is ReadOnlyMemory<byte> y ? x.Span.SequenceEqual(y.Span) : Equals(a, b);
            if (!same)
                yield return $"{property.Name}: {a ?? "unknown"}, {b ?? "unknown"}";
        }
    }

    private static object Sample(Type type, Random random)
    {
        if (type == typeof(ulong?))
            return (ulong)random.NextInt64(1, long.MaxValue);
        if (type == typeof(uint?))
            return (uint)random.Next(1, int.MaxValue);
        if (type == typeof(ushort?))
            return (ushort)random.Next(1, 0xFFFF);
        if (type == typeof(byte?))
            return (byte)random.Next(1, 0xFF);
        if (type == typeof(SegmentRegister?))
            return new SegmentRegister((ushort)random.Next(1, 0xFFFF), (ulong)random.NextInt64(), (uint)random.Next(), (uint)random.Next() & 0x00FF_FF00);
        if (type == typeof(DescriptorTableRegister?))
            return new DescriptorTableRegister((ulong)random.NextInt64(), (uint)random.Next(1, 0xFFFF));
        Assert.Equal(typeof(ReadOnlyMemory<byte>?), type);
        return null!;
    }

    /// <summary>The same with floating point and vectors, whose sizes differ.</summary>
    public static CpuState WithVectors(CpuState cpu, int seed)
    {
        var random = new Random(seed);
        return cpu with { St = Bytes(128), Xmm = Bytes(256), YmmHigh = Bytes(256) };

        ReadOnlyMemory<byte> Bytes(int length)
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            return bytes;
        }
    }
}
