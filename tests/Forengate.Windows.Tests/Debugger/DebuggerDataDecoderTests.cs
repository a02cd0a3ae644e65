using System.Buffers.Binary;
using System.Numerics;

namespace Forengate.Windows.Tests;

public sealed class DebuggerDataDecoderTests
{
    private const ulong KernBase = 0xFFFFF80002652000;
    private const ulong Modules = 0xFFFFF80002897E90;
    private const ulong Processes = 0xFFFFF80002879B90;
    private static readonly DebuggerDataExpectation s_expected = new(KernBase, Modules, Processes);

    /// <summary>Encodes as Windows does, step by step: the inverse of the published decoding, not of ours.</summary>
    private static byte[] EncodeAsWindowsDoes(ReadOnlySpan<byte> plain, ulong never, ulong always, ulong flag)
    {
        var encoded = plain.ToArray();
        for (var i = 0; i + 8 <= encoded.Length; i += 8)
        {
            var word = BinaryPrimitives.ReadUInt64LittleEndian(encoded.AsSpan(i));
            word = BinaryPrimitives.ReverseEndianness(word ^ always) ^ flag;
            word = BitOperations.RotateRight(word, (int)(never & 0xFF)) ^ never;
            BinaryPrimitives.WriteUInt64LittleEndian(encoded.AsSpan(i), word);
        }
        return encoded;
    }

    private static byte[] Block(Random random, uint size = 0x340, int available = DebuggerData.MaxSize)
    {
        var block = new byte[available];
        random.NextBytes(block);
        void Put(DebuggerDataField field, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan((int)field), value);
        Put(DebuggerDataField.ListFlink, 0xFFFFF8000285F470);
        Put(DebuggerDataField.ListBlink, 0xFFFFF8000285F470);
        Put(DebuggerDataField.OwnerTag, DebuggerData.Tag | ((ulong)size << 32));
        Put(DebuggerDataField.KernBase, KernBase);
        Put(DebuggerDataField.PsLoadedModuleList, Modules);
        Put(DebuggerDataField.PsActiveProcessHead, Processes);
        return block;
    }

    [Fact]
    public void APlainBlockIsTakenAsItLies()
    {
        var block = Block(new Random(1));
        var result = DebuggerDataDecoder.Decode(block, s_expected, out _);
        Assert.NotNull(result);
        Assert.Null(result.Key);
        Assert.Equal(block[..0x340], result.Plain);
    }

    [Theory]
    [InlineData(0x340)]
    [InlineData(0x360)]
    [InlineData(0x380)]
    public void AnyKeysAreUndoneWithoutKnowingThem(uint size)
    {
        var random = new Random((int)size);
        for (var round = 0; round < 500; round++)
        {
            var block = Block(random, size);
            var (never, always) = ((ulong)random.NextInt64(long.MinValue, long.MaxValue), (ulong)random.NextInt64(long.MinValue, long.MaxValue));
            var flag = KernBase + (ulong)random.Next(0x100_0000);
            var result = DebuggerDataDecoder.Decode(EncodeAsWindowsDoes(block, never, always, flag), s_expected, out var tried);
            Assert.True(result is not null, tried);
            Assert.Equal(block[..(int)size], result.Plain);
            Assert.Equal(DebuggerDataEncoding.FromSecrets(never, always, flag), result.Key);
        }
    }

    [Fact]
    public void ListHeadsTheProfileDoesNotKnowAreNotAskedFor()
    {
        var encoded = EncodeAsWindowsDoes(Block(new Random(3)), 0x123456789ABCDEF0, 0xFEDCBA9876543210, KernBase + 0x1000);
        Assert.NotNull(DebuggerDataDecoder.Decode(encoded, new DebuggerDataExpectation(KernBase, null, null), out _));
    }

    [Fact]
    public void NoiseIsNeverAccepted()
    {
        var random = new Random(4);
        var noise = new byte[DebuggerData.MaxSize];
        for (var round = 0; round < 20_000; round++)
        {
            random.NextBytes(noise);
            Assert.Null(DebuggerDataDecoder.Decode(noise, new DebuggerDataExpectation(KernBase, null, null), out var tried));
            Assert.Contains("64 rotations", tried, StringComparison.Ordinal);
        }
    }

    /// <summary>Every qword that a true block is judged by, spoilt: not accepted, encoded or plain.</summary>
    [Theory]
    [InlineData(DebuggerDataField.ListFlink)]
    [InlineData(DebuggerDataField.ListBlink)]
    [InlineData(DebuggerDataField.OwnerTag)]
    [InlineData(DebuggerDataField.KernBase)]
    [InlineData(DebuggerDataField.PsLoadedModuleList)]
    [InlineData(DebuggerDataField.PsActiveProcessHead)]
    public void AWrongWordIsNotAccepted(DebuggerDataField field)
    {
        var random = new Random((int)field);
        for (var round = 0; round < 200; round++)
        {
            var block = Block(random);
            var word = block.AsSpan((int)field, 8);
            var before = word.ToArray();
            do
                random.NextBytes(word);
            while (word.SequenceEqual(before));
            if (field is DebuggerDataField.ListFlink or DebuggerDataField.ListBlink)
                word[7] &= 0x7F;
            Assert.Null(DebuggerDataDecoder.Decode(block, s_expected, out _));
            Assert.Null(DebuggerDataDecoder.Decode(EncodeAsWindowsDoes(block, 77 + (ulong)round, ~(ulong)round, KernBase + 0x99), s_expected, out _));
        }
    }

    [Theory]
    [InlineData(0x2F8u)]
    [InlineData(0x341u)]
    [InlineData(0x408u)]
    [InlineData(0xFFFF_FFF8u)]
    public void ASizeNoWindowsHasIsNotAccepted(uint size)
    {
        var block = Block(new Random(5), size);
        Assert.Null(DebuggerDataDecoder.Decode(block, s_expected, out var tried));
        Assert.Contains("size", tried, StringComparison.Ordinal);
        Assert.Null(DebuggerDataDecoder.Decode(EncodeAsWindowsDoes(block, 0x1D, 0x2E, KernBase), s_expected, out _));
    }

    [Fact]
    public void ABlockCutShortIsNotAccepted()
    {
        var block = Block(new Random(6));
        Assert.Null(DebuggerDataDecoder.Decode(block.AsSpan(0, 0x330), s_expected, out _));
        Assert.Null(DebuggerDataDecoder.Decode(block.AsSpan(0, 0x10), s_expected, out var tried));
        Assert.Contains("16 bytes", tried, StringComparison.Ordinal);
        Assert.NotNull(DebuggerDataDecoder.Decode(block.AsSpan(0, 0x340), s_expected, out _));
    }

    /// <summary>The block of a real Windows 7 (7601.17514), as far as its document quotes it.</summary>
    [Fact]
    public void FieldsLieWhereWdbgextsHasThem()
    {
        var block = Block(new Random(7));
        BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(0x338), 0x4BD8);
        var data = new DebuggerData(new Forengate.Memory.VirtualAddress(0xFFFFF800028430A0), block[..0x340], false, null, null, "");
        Assert.Equal(0xFFFFF80002652000, data.KernBase.Value);
        Assert.Equal(0xFFFFF80002897E90, data.PsLoadedModuleList.Value);
        Assert.Equal(0xFFFFF80002879B90, data.PsActiveProcessHead.Value);
        Assert.Equal(0x4BD8, (int?)data.OffsetPrcbContext);
        Assert.Equal(0u, data.Qword(DebuggerDataField.PteBase));
        Assert.Null(new DebuggerData(default, block[..0x338], false, null, null, "").OffsetPrcbContext);
    }
}
