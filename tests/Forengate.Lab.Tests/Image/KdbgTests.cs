using System.Buffers.Binary;
using System.Numerics;

namespace Forengate.Lab.Tests.Image;

public sealed class KdbgTests
{
    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void The_block_decodes_with_the_keys_in_memory(string build)
    {
        var (image, truth) = Twins.Make(Twins.Small(build));
        var walker = new Walker(image.Plan);
        var cr3 = truth.Paging.SystemDtb.Value;
        var flag = truth.Global("KdpDataBlockEncoded").Va.Value;
        Assert.Equal(1, walker.Read(cr3, flag, 1)[0]);
        var never = walker.U64(cr3, truth.Global("KiWaitNever").Va.Value);
        var always = walker.U64(cr3, truth.Global("KiWaitAlways").Va.Value);
        var block = walker.Read(cr3, truth.Kdbg.Va.Value, truth.Kdbg.Size);
        for (var at = 0; at < block.Length; at += 8)
        {
            var word = BitOperations.RotateLeft(BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(at)) ^ never, (int)(never & 0x3F)) ^ flag;
            BinaryPrimitives.WriteUInt64LittleEndian(block.AsSpan(at), BinaryPrimitives.ReverseEndianness(word) ^ always);
        }
        Assert.Equal(truth.Kdbg.Decoded, Convert.ToHexStringLower(block));
        CheckFields(block, image.Tables.Build.Build, truth);
    }

    [Fact]
    public void A_plain_block_lies_as_it_is()
    {
        var (image, truth) = Twins.Make(Twins.Small("9600") with { KdbgEncoded = false });
        var walker = new Walker(image.Plan);
        Assert.Equal(0, walker.Read(truth.Paging.SystemDtb.Value, truth.Global("KdpDataBlockEncoded").Va.Value, 1)[0]);
        Assert.Equal(truth.Kdbg.Decoded, Convert.ToHexStringLower(walker.Read(truth.Paging.SystemDtb.Value, truth.Kdbg.Va.Value, truth.Kdbg.Size)));
    }

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void Version_block_and_list_lead_to_the_block(string build)
    {
        var (image, truth) = Twins.Make(Twins.Small(build));
        var walker = new Walker(image.Plan);
        var cr3 = truth.Paging.SystemDtb.Value;
        var version = truth.Global("KdVersionBlock").Va.Value;
        Assert.Equal(truth.Kernel.Base.Value, walker.U64(cr3, version + 0x10));
        Assert.Equal(truth.Global("PsLoadedModuleList").Va.Value, walker.U64(cr3, version + 0x18));
        var head = walker.U64(cr3, version + 0x20);
        Assert.Equal(truth.Kdbg.Va.Value, walker.U64(cr3, head));
        Assert.Equal(truth.Kdbg.Va.Value, walker.U64(cr3, head + 8));
    }

    private static void CheckFields(byte[] block, int family, Truth.TruthDocument truth)
    {
        ulong Word(int at) => BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(at));
        Assert.Equal("KDBG"u8, block.AsSpan(0x10, 4));
        Assert.Equal(family switch { 7601 => 0x340, 9600 => 0x360, 14393 => 0x368, _ => 0x380 }, BinaryPrimitives.ReadInt32LittleEndian(block.AsSpan(0x14)));
        Assert.Equal(truth.Kernel.Base.Value, Word(0x18));
        // Places known from readers of dumps: QEMU's elf2dmp and win_dump.
        foreach (var (at, name) in new[] { (0x48, "PsLoadedModuleList"), (0x50, "PsActiveProcessHead"), (0x58, "PspCidTable"), (0x88, "KiBugCheckData"), (0xC0, "MmPfnDatabase"), (0x208, "NtBuildLab"), (0x218, "KiProcessorBlock") })
            Assert.Equal(truth.Global(name).Va.Value, Word(at));
        Assert.Equal(truth.Kdbg.Size, block.Length);
        var context = BinaryPrimitives.ReadUInt16LittleEndian(block.AsSpan(0x338));
        Assert.InRange(context, 0x5000, 0xA000);
    }
}
