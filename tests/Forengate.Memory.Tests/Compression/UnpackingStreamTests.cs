using System.Diagnostics;
using Forengate.Testing.Hostile;

namespace Forengate.Memory.Tests;

/// <summary>Packed streams, each made by the program of its name.</summary>
public sealed class UnpackingStreamTests
{
    public static TheoryData<string> Programs => ["gzip", "bzip2", "xz", "lzop", "zstd"];

    [Theory]
    [MemberData(nameof(Programs))]
    public void What_the_program_packed_is_unpacked(string program)
    {
        // Larger than every buffer on the way, with stretches that pack well, badly and not at all.
        var bytes = Sample(5 << 20);
        Assert.Equal(bytes, Unpack(program, Pack(program, bytes), 0, out var damage));
        Assert.Null(damage);
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void Members_one_after_another_are_one_stream_wherever_it_begins(string program)
    {
        var (first, second) = (Sample(300_000), Sample(70_001));
        byte[] file = [.. new byte[1234], .. Pack(program, first), .. Pack(program, second)];
        Assert.Equal([.. first, .. second], Unpack(program, file, 1234, out var damage));
        Assert.Null(damage);
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_stream_cut_short_gives_what_there_is_and_says_so(string program)
    {
        var bytes = Sample(3 << 20);
        var packed = Pack(program, bytes);
        foreach (var length in (int[])[packed.Length / 2, packed.Length - 1, 3])
        {
            var got = Unpack(program, packed[..length], 0, out var damage);
            Assert.True(damage is not null, $"{length} of {packed.Length} bytes");
            Assert.True(bytes.AsSpan().StartsWith(got));
            if (length == packed.Length / 2)
                Assert.InRange(got.Length, 1, bytes.Length - 1);
        }
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void A_flipped_bit_is_found(string program)
    {
        var bytes = Sample(1 << 20);
        var packed = Pack(program, bytes);
        packed[packed.Length / 2] ^= 0x10;
        var got = Unpack(program, packed, 0, out var damage);
        Assert.Contains("damaged at 0x", damage, StringComparison.Ordinal);
        Assert.NotEqual(bytes, got);
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void Spoilt_streams_end(string program)
    {
        var rounds = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_FUZZ_ROUNDS"), out var asked) ? asked : 150;
        Bounded.Survives(Pack(program, Sample(20_000)), 31, rounds, bytes =>
        {
            if (bytes.Length == 0)
                return;
            Unpack(program, bytes, 0, out _, mostBytes: 1 << 20);
        });
    }

    /// <summary>Zeros, a pattern, text and noise by turns.</summary>
    private static byte[] Sample(int length)
    {
        var bytes = new byte[length];
        var random = new Random(5);
        for (var at = 0; at < length; at += 0x3000)
        {
            var part = bytes.AsSpan(at, Math.Min(0x3000, length - at));
            switch (at / 0x3000 % 3)
            {
                case 0:
                    random.NextBytes(part);
                    break;
                case 1:
                    for (var i = 0; i < part.Length; i++)
                        part[i] = (byte)(i % 61 * (i >> 9));
                    break;
            }
        }
        return bytes;
    }

    private static byte[] Pack(string program, byte[] bytes)
    {
        if (!File.Exists($"/usr/bin/{program}"))
            Assert.Skip($"{program} is not installed");
        using var process = Process.Start(new ProcessStartInfo(program, "-c") { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false })!;
        var feeding = Task.Run(() =>
        {
            process.StandardInput.BaseStream.Write(bytes);
            process.StandardInput.Close();
        });
        using var packed = new MemoryStream();
        process.StandardOutput.BaseStream.CopyTo(packed);
        feeding.GetAwaiter().GetResult();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return packed.ToArray();
    }

    private static byte[] Unpack(string program, byte[] packed, long start, out string? damage, int mostBytes = int.MaxValue)
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, packed);
            using var file = MappedFile.Open(path);
            using var stream = UnpackingStream.Open(Enum.Parse<Packing>(program, ignoreCase: true), file, start);
            using var result = new MemoryStream();
            var buffer = new byte[100_000];
            while (result.Length < mostBytes && stream.Read(buffer) is > 0 and var count)
                result.Write(buffer, 0, count);
            Assert.Equal(result.Length, stream.Position);
            damage = stream.Damage;
            return result.ToArray();
        }
        finally
        {
            File.Delete(path);
        }
    }
}
