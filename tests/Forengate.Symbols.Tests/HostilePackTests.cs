using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Forengate.Testing;
using Forengate.Testing.Hostile;

namespace Forengate.Symbols.Tests;

/// <summary>Packs that someone made to mislead: their digests fit.</summary>
public sealed class HostilePackTests
{
    [Fact]
    public void No_spoilt_pack_whose_digest_was_made_to_fit_leads_a_reader_astray()
    {
        var good = File.ReadAllBytes(Checkout.PathOf("src/Forengate.Symbols/Packs/carried.pack"));
        Bounded.Survives(good, seed: 0x9AC4, count: 300, bytes =>
        {
            if (bytes.Length < PackLayout.HeaderLength)
                return;
            Sign(bytes);
            try
            {
                ReadAll(ProfilePack.Open("spoilt", bytes));
            }
            catch (PackFormatException refused)
            {
                Assert.DoesNotContain('\n', refused.Message);
            }
        });
    }

    [Fact]
    public void A_structure_of_more_fields_than_sixteen_bits_count_is_opened()
    {
        var names = new List<byte> { 1, (byte)'_' };
        for (var i = 0; i < PackLayout.MaxColumns; i++)
            names.AddRange([0, 0, 1, (byte)'f']);
        var pack = ProfilePack.Open("wide", Pack(1, PackLayout.MaxColumns, 0, 0, 0, [.. names], [0, 0], []));
        Assert.Equal(0, pack.Count);
        Assert.Empty(pack.OffsetsOf(KernelField.EPROCESS_Peb));
    }

    [Theory]
    [InlineData(0x100, 0x101, 0, "shapes")]
    [InlineData(0x100, 0x10, 1, "layout 0 names shape 1 of 1")]
    [InlineData(0x7FFF_FFFF, 0x10, 0, "shapes")]
    public void Numbers_that_fit_no_structure_are_refused(uint size, uint place, ushort shape, string expected)
    {
        byte[] names = [9, .. "_EPROCESS"u8, 0, 0, 3, .. "Peb"u8];
        var shapes = new byte[10];
        BinaryPrimitives.WriteUInt16LittleEndian(shapes, 1);
        BinaryPrimitives.WriteUInt32LittleEndian(shapes.AsSpan(2), size);
        BinaryPrimitives.WriteUInt32LittleEndian(shapes.AsSpan(6), place);
        var layout = BitConverter.GetBytes(shape);
        var refused = Assert.Throws<PackFormatException>(() => ProfilePack.Open("odd", Pack(1, 1, 0, 1, 0, names, shapes, layout)));
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pack_of_another_schema_is_read_by_its_names()
    {
        // _TEB before _EPROCESS, a structure and a field we don't know, a global we don't know before one we do.
        byte[] names =
        [
            .. Name("_TEB"), .. Name("_UNHEARD_OF"), .. Name("_EPROCESS"),
            2, 0, .. Name("Peb"), 1, 0, .. Name("Odd"), 2, 0, .. Name("Token"), 0, 0, .. Name("NtTib"),
            .. Name("UnheardOf"), .. Name("PsLoadedModuleList"),
        ];
        byte[] shapes = [.. Shape(0x1800, 0x8), .. Shape(0x10, 0x1), .. Shape(0xA40, 0x550, 0x4B8)];
        var profile = new byte[PackLayout.ProfileGlobalsOffset + 8];
        BinaryPrimitives.WriteUInt32LittleEndian(profile.AsSpan(PackLayout.ProfileGlobalsOffset), 0x111);
        BinaryPrimitives.WriteUInt32LittleEndian(profile.AsSpan(PackLayout.ProfileGlobalsOffset + 4), 0x222);
        var kernel = ProfilePack.Open("other", Pack(3, 4, 2, 1, 1, names, shapes, [0, 0, 0, 0, 0, 0, .. profile]))[0];
        Assert.Equal(0xA40, kernel.SizeOf(KernelStruct.EPROCESS));
        Assert.Equal(0x550, kernel.OffsetOf(KernelField.EPROCESS_Peb));
        Assert.Equal(0x4B8, kernel.OffsetOf(KernelField.EPROCESS_Token));
        Assert.Equal(0x8, kernel.OffsetOf(KernelField.TEB_NtTib));
        Assert.Null(kernel.OffsetOf(KernelField.EPROCESS_VadRoot));
        Assert.Null(kernel.SizeOf(KernelStruct.KPRCB));
        Assert.Equal(0x222u, kernel.RvaOf(KernelGlobal.PsLoadedModuleList));
        Assert.Null(kernel.RvaOf(KernelGlobal.PsActiveProcessHead));
    }

    private static void ReadAll(ProfilePack pack)
    {
        foreach (var field in Enum.GetValues<KernelField>())
            _ = pack.OffsetsOf(field);
        foreach (var type in Enum.GetValues<KernelStruct>())
            _ = pack.SizesOf(type);
        foreach (var layout in pack.Layouts.Take(8))
        {
            Assert.NotNull(layout.Origin);
            _ = layout.ToTable();
        }
        for (var i = 0; i < Math.Min(pack.Count, 8); i++)
        {
            var profile = pack[i];
            foreach (var field in Enum.GetValues<KernelField>())
                _ = profile.Field(field);
            foreach (var global in Enum.GetValues<KernelGlobal>())
                _ = profile.RvaOf(global);
        }
    }

    private static byte[] Name(string name) => [(byte)name.Length, .. Encoding.ASCII.GetBytes(name)];

    private static byte[] Shape(params uint[] values) => [1, 0, .. values.SelectMany(BitConverter.GetBytes)];

    private static byte[] Pack(int structs, int fields, int globals, int layouts, int profiles, byte[] names, byte[] shapes, byte[] rest)
    {
        byte[] pack = [.. new byte[PackLayout.HeaderLength], .. names, .. shapes, .. rest];
        BinaryPrimitives.WriteUInt64LittleEndian(pack, PackLayout.Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(pack.AsSpan(PackLayout.VersionOffset), PackLayout.Version);
        foreach (var (offset, value) in new[]
        {
            (PackLayout.LengthOffset, pack.Length), (PackLayout.StructCountOffset, structs), (PackLayout.FieldCountOffset, fields), (PackLayout.GlobalCountOffset, globals),
            (PackLayout.LayoutCountOffset, layouts), (PackLayout.ProfileCountOffset, profiles), (PackLayout.NamesLengthOffset, names.Length), (PackLayout.ShapesLengthOffset, shapes.Length),
        })
            BinaryPrimitives.WriteInt32LittleEndian(pack.AsSpan(offset), value);
        Sign(pack);
        return pack;
    }

    private static void Sign(byte[] pack)
    {
        BinaryPrimitives.WriteInt32LittleEndian(pack.AsSpan(PackLayout.LengthOffset), pack.Length);
        SHA256.HashData(pack.AsSpan(PackLayout.HeaderLength), pack.AsSpan(PackLayout.DigestOffset, PackLayout.DigestLength));
    }
}
