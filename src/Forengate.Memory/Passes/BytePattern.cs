namespace Forengate.Memory;

/// <summary>Bytes to look for in guest-physical memory.</summary>
public readonly record struct BytePattern
{
    public const int MinLength = 4;
    public const int MaxLength = 16;

    /// <param name="bytes">4 to 16 bytes, not all zero.</param>
    /// <param name="alignment">1, 4, 8 or 16: only addresses that leave <paramref name="phase"/> when divided by it are looked at.</param>
    /// <param name="phase">0 to alignment less 1: a pool tag, 4 bytes into a header on 16, has alignment 16 and phase 4.</param>
    public BytePattern(ReadOnlySpan<byte> bytes, int alignment = 1, int phase = 0)
    {
        if (bytes.Length is < MinLength or > MaxLength)
            throw new ArgumentException($"a pattern has {MinLength} to {MaxLength} bytes, not {bytes.Length}", nameof(bytes));
        if (!bytes.ContainsAnyExcept((byte)0))
            throw new ArgumentException("a pattern of zeros would be found everywhere", nameof(bytes));
        if (alignment is not (1 or 2 or 4 or 8 or 16))
            throw new ArgumentOutOfRangeException(nameof(alignment), alignment, "1, 2, 4, 8 or 16");
        if (phase < 0 || phase >= alignment)
            throw new ArgumentOutOfRangeException(nameof(phase), phase, "0 to alignment less 1");
        Bytes = bytes.ToArray();
        Alignment = alignment;
        Phase = phase;
    }

    public ReadOnlyMemory<byte> Bytes { get; }

    public int Alignment { get; }

    public int Phase { get; }
}
