using Forengate.Symbols;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

public sealed class ProfilePackTests
{
    private static readonly ProfilePack Carried = ProfileStore.Carried.Packs[0];

    [Fact]
    public void The_carried_pack_holds_213_kernels_in_under_a_mebibyte()
    {
        Assert.Equal(213, Carried.Count);
        Assert.InRange(CarriedBytes().Length, 1, 1 << 20);
    }

    /// <summary>Facts published elsewhere: KPRCB.KernelDirectoryTableBase lies at gs:7000h on 17763, 9000h on 19041, A000h on 22000 (KPCR.Prcb at 180h).</summary>
    [Theory]
    [InlineData("10.0.17763.379", 0x7000)]
    [InlineData("10.0.19041.329", 0x9000)]
    [InlineData("6.1.7601.24540", 0x6000)]
    public void The_kernel_directory_table_base_lies_where_it_is_known_to(string version, int gsOffset)
    {
        var profile = Profile(version);
        Assert.Equal(gsOffset, profile.OffsetOf(KernelField.KPCR_Prcb) + profile.OffsetOf(KernelField.KPRCB_KernelDirectoryTableBase));
        Assert.Contains(profile.OffsetOf(KernelField.KPRCB_KernelDirectoryTableBase)!.Value, Carried.OffsetsOf(KernelField.KPRCB_KernelDirectoryTableBase));
    }

    [Fact]
    public void A_real_header_of_19041_names_the_globals_the_profile_gives()
    {
        // dumps/full-header-win10-19041-x64.bin was made on this kernel: the three addresses differ from the profile's by one and the same image base.
        var header = File.ReadAllBytes(RealData.PathOf("dumps/full-header-win10-19041-x64.bin"));
        var profile = Profile("10.0.19041.329");
        var modules = BitConverter.ToUInt64(header, 0x20) - profile.RvaOf(KernelGlobal.PsLoadedModuleList)!.Value;
        Assert.Equal(modules, BitConverter.ToUInt64(header, 0x28) - profile.RvaOf(KernelGlobal.PsActiveProcessHead)!.Value);
        Assert.Equal(modules, BitConverter.ToUInt64(header, 0x80) - profile.RvaOf(KernelGlobal.KdDebuggerDataBlock)!.Value);
        Assert.Equal(0UL, modules & 0xFFF);
    }

    [Fact]
    public void Every_profile_is_found_by_its_key_and_no_other_is()
    {
        for (var i = 0; i < Carried.Count; i++)
        {
            var profile = Carried[i];
            Assert.Equal(profile.Version, Carried.Find(profile.CodeView.Guid, profile.CodeView.Age)!.Version);
            Assert.Null(Carried.Find(profile.CodeView.Guid, profile.CodeView.Age + 1));
        }
        Assert.Null(Carried.Find(Guid.Empty, 1));
    }

    [Fact]
    public void The_schema_names_each_column_once_and_in_the_order_of_its_enum()
    {
        Assert.Equal(Enum.GetNames<KernelStruct>().Length, KernelSchema.Structs.Length);
        Assert.Equal(Enum.GetNames<KernelField>().Length, KernelSchema.Fields.Length);
        for (var i = 0; i < KernelSchema.Fields.Length; i++)
        {
            var field = KernelSchema.Fields[i];
            Assert.Equal($"{field.Struct}_{field.Name.Split('|')[0].Replace('.', '_')}", ((KernelField)i).ToString());
        }
    }

    [Fact]
    public void A_field_that_a_build_lacks_is_null_and_not_zero()
    {
        Assert.Null(Profile("6.1.7601.24540").OffsetOf(KernelField.KUSER_SHARED_DATA_BootId));
        Assert.Equal(0x2C4, Profile("10.0.19041.329").OffsetOf(KernelField.KUSER_SHARED_DATA_BootId));
        Assert.Null(Profile("6.1.7601.24540").RvaOf(KernelGlobal.MmPteBase));
    }

    [Fact]
    public void A_written_pack_reads_back()
    {
        var writer = new PackWriter();
        var guid = new Guid("00112233-4455-6677-8899-aabbccddeeff");
        Assert.True(writer.Add(guid, 3, new Version(10, 0, 1, 2), _ => 0x40, field => new FieldPlace((int)field % 0x40, 5, 3), global => (uint)global + 7));
        Assert.False(writer.Add(guid, 3, new Version(10, 0, 1, 2), _ => null, _ => null, _ => null));
        Assert.True(writer.Add(guid, 4, new Version(10, 0, 1, 3), _ => null, _ => null, _ => null));
        var pack = ProfilePack.Open("written", writer.ToBytes());
        var full = pack.Find(guid, 3)!;
        Assert.Equal(0x40, full.SizeOf(KernelStruct.EPROCESS));
        Assert.Equal(new FieldPlace((int)KernelField.EPROCESS_Peb % 0x40, 5, 3), full.Field(KernelField.EPROCESS_Peb));
        Assert.Equal((uint)KernelGlobal.MmPteBase + 7, full.RvaOf(KernelGlobal.MmPteBase));
        var empty = pack.Find(guid, 4)!;
        Assert.Null(empty.SizeOf(KernelStruct.EPROCESS));
        Assert.Null(empty.OffsetOf(KernelField.EPROCESS_Peb));
        Assert.Null(empty.RvaOf(KernelGlobal.MmPteBase));
    }

    /// <summary>Any change to a pack is refused with one line, whether the digest was made to fit it or not; nothing else may be thrown.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_spoilt_pack_is_refused_or_read_within_bounds(bool digestMadeToFit)
    {
        var good = CarriedBytes();
        var random = new Random(20261121);
        for (var round = 0; round < 200; round++)
        {
            var spoilt = (byte[])good.Clone();
            // Most of the damage goes where counts and tables begin.
            var where = random.Next(2) == 0 ? random.Next(16, PackLayout.HeaderLength + 64) : random.Next(spoilt.Length);
            spoilt[where] ^= (byte)(1 << random.Next(8));
            if (digestMadeToFit)
                System.Security.Cryptography.SHA256.HashData(spoilt.AsSpan(PackLayout.HeaderLength), spoilt.AsSpan(PackLayout.DigestOffset, PackLayout.DigestLength));
            try
            {
                var pack = ProfilePack.Open("spoilt", spoilt);
                Assert.True(digestMadeToFit, "a pack whose digest does not fit was opened");
                for (var i = 0; i < pack.Count; i++)
                    _ = pack[i].OffsetOf(KernelField.EPROCESS_Peb);
            }
            catch (PackFormatException refused)
            {
                Assert.DoesNotContain('\n', refused.Message);
            }
        }
    }

    [Fact]
    public void A_truncated_pack_is_refused()
    {
        var good = CarriedBytes();
        foreach (var length in new[] { 0, 7, PackLayout.HeaderLength - 1, PackLayout.HeaderLength, good.Length / 2, good.Length - 1 })
            Assert.Throws<PackFormatException>(() => ProfilePack.Open("truncated", good.AsMemory(0, length)));
    }

    private static KernelProfile Profile(string version) =>
        Enumerable.Range(0, Carried.Count).Select(i => Carried[i]).First(profile => profile.Version == Version.Parse(version));

    private static byte[] CarriedBytes() =>
        File.ReadAllBytes(Path.Combine(Checkout.Root, "src/Forengate.Symbols/Packs/carried.pack"));
}
