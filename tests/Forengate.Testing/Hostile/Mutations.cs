using System.Buffers.Binary;

namespace Forengate.Testing.Hostile;

/// <summary>Spoils good inputs, always in the same way for the same seed: flipped bits, lying length fields, cut, doubled, moved and blanked blocks.</summary>
public static class Mutations
{
    /// <summary>What a length, count, offset or pointer says when it lies.</summary>
    private static readonly ulong[] Lies =
    [
        0, 1, 2, 7, 0x28, 0xFF, 0x1000, 0x7FFF, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_F000, 0xFFFF_F780_0000_0000,
        0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_F000, 0xFFFF_FFFF_FFFF_FFFF, 0x4547_4150_4547_4150,
    ];

    /// <summary>The first <paramref name="count"/> spoilt copies of <paramref name="good"/>; made one at a time.</summary>
    public static IEnumerable<Mutation> Of(byte[] good, ulong seed, int count)
    {
        for (var number = 0; number < count; number++)
            yield return At(good, seed, number);
    }

    /// <summary>One spoilt copy, without those before it.</summary>
    public static Mutation At(byte[] good, ulong seed, int number)
    {
        ArgumentOutOfRangeException.ThrowIfZero(good.Length);
        var dice = new Dice(seed * 0x1_0000_0001 + (ulong)number);
        var bytes = (byte[])good.Clone();
        var descriptions = new List<string>();
        // Mostly one fault, so that it gets past the first check; sometimes several, which a check for one may not expect.
        var faults = dice.Below(4) == 0 ? 2 + dice.Below(6) : 1;
        for (var i = 0; i < faults && bytes.Length > 0; i++)
            descriptions.Add(Spoil(ref bytes, dice));
        return new Mutation(seed, number, string.Join("; ", descriptions), bytes);
    }

    private static string Spoil(ref byte[] bytes, Dice dice)
    {
        switch (dice.Below(10))
        {
            case 0 or 1:
                var bit = dice.Below(8);
                var flipped = Place(bytes.Length, dice);
                bytes[flipped] ^= (byte)(1 << bit);
                return $"bit {bit} of byte 0x{flipped:x} flipped";
            case 2:
                var changed = Place(bytes.Length, dice);
                bytes[changed] = (byte)dice.Below(256);
                return $"byte 0x{changed:x} = 0x{bytes[changed]:x2}";
            case 3 or 4 or 5:
                return Lie(bytes, dice);
            case 6:
                var length = dice.Below(4) == 0 ? dice.Below(Math.Min(bytes.Length, 64)) : dice.Below(bytes.Length);
                bytes = bytes[..length];
                return $"cut to 0x{length:x} bytes";
            case 7:
                var (from, size) = Block(bytes.Length, dice);
                bytes = [.. bytes[..(from + size)], .. bytes.AsSpan(from, size), .. bytes[(from + size)..]];
                return $"0x{size:x} bytes at 0x{from:x} doubled";
            case 8:
                var (source, moved) = Block(bytes.Length, dice);
                var target = dice.Below(bytes.Length - moved + 1);
                bytes.AsSpan(source, moved).CopyTo(bytes.AsSpan(target));
                return $"0x{moved:x} bytes at 0x{source:x} written over 0x{target:x}";
            default:
                var (at, blanked) = Block(bytes.Length, dice);
                var with = dice.Below(3) switch { 0 => (byte)0, 1 => (byte)0xFF, _ => (byte)dice.Below(256) };
                bytes.AsSpan(at, blanked).Fill(with);
                return $"0x{blanked:x} bytes at 0x{at:x} = 0x{with:x2}";
        }
    }

    /// <summary>Overwrites an aligned field with a value that a length, count or offset should never have, or a little more than it had.</summary>
    private static string Lie(byte[] bytes, Dice dice)
    {
        var width = 1 << (1 + dice.Below(3));
        if (bytes.Length < width)
            return Lie1(bytes, dice);
        var at = Place(bytes.Length - width + 1, dice) & ~(Math.Min(width, 4) - 1);
        var field = bytes.AsSpan(at, width);
        var before = width switch { 2 => BinaryPrimitives.ReadUInt16LittleEndian(field), 4 => BinaryPrimitives.ReadUInt32LittleEndian(field), _ => BinaryPrimitives.ReadUInt64LittleEndian(field) };
        var lie = dice.Below(3) switch
        {
            0 => before + (1UL << dice.Below(width * 8)),
            1 => before - 1,
            _ => Lies[dice.Below(Lies.Length)],
        };
        switch (width)
        {
            case 2: BinaryPrimitives.WriteUInt16LittleEndian(field, (ushort)lie); break;
            case 4: BinaryPrimitives.WriteUInt32LittleEndian(field, (uint)lie); break;
            default: BinaryPrimitives.WriteUInt64LittleEndian(field, lie); break;
        }
        return $"{width}-byte field at 0x{at:x} = 0x{lie & (ulong.MaxValue >> (64 - width * 8)):x}";
    }

    private static string Lie1(byte[] bytes, Dice dice)
    {
        bytes[0] = (byte)Lies[dice.Below(Lies.Length)];
        return $"byte 0x0 = 0x{bytes[0]:x2}";
    }

    /// <summary>A place in the input, its beginning far more often than its share: that is where headers are.</summary>
    private static int Place(int length, Dice dice) => dice.Below(3) switch
    {
        0 => dice.Below(Math.Min(length, 256)),
        1 => dice.Below(Math.Min(length, 0x2000)),
        _ => dice.Below(length),
    };

    private static (int At, int Size) Block(int length, Dice dice)
    {
        var size = 1 + dice.Below(Math.Min(length, dice.Below(2) == 0 ? 64 : 0x1000));
        return (Math.Min(Place(length, dice), length - size), size);
    }

    /// <summary>SplitMix64: the same numbers on every runtime for ever, which <see cref="Random"/> does not promise.</summary>
    private sealed class Dice(ulong state)
    {
        public int Below(int bound)
        {
            var z = state += 0x9E37_79B9_7F4A_7C15;
            z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
            z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
            return (int)((z ^ (z >> 31)) % (ulong)bound);
        }
    }
}
