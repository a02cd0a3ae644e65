namespace Forengate.Testing.Hostile;

/// <summary>A spoilt copy of a good input.</summary>
/// <param name="Seed">With <paramref name="Number"/> and the good input it makes the same bytes again: <see cref="Mutations.At"/>.</param>
/// <param name="Number">Its place in the sequence of the seed.</param>
/// <param name="Description">What was done ("8-byte field at 0x88 = 0xffffffffffffffff").</param>
/// <param name="Bytes">The spoilt copy.</param>
public sealed record Mutation(ulong Seed, int Number, string Description, byte[] Bytes)
{
    public override string ToString() => $"mutation {Number} of seed {Seed}: {Description}";
}
