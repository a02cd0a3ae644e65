using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory.Tests;

public sealed class LibvirtSaveTests
{
    private const int VersionAt = 16, DataLengthAt = 20, FormatAt = 28, CookieAt = 32, HeaderSize = 92;

    [Fact]
    public void Names_of_the_guest_and_places_of_memory_devices_come_from_the_XML()
    {
        var domain = LibvirtDomainXml.Parse(
            """
            <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
              <name>a &amp; b</name>
              <metadata><x:domain xmlns:x='urn:x'><x:name>no</x:name></x:domain></metadata>
              <memory unit='KiB'>1</memory>
              <os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type></os>
              <devices>
                <memory model='dimm'><target><size unit='KiB'>131072</size></target><address type='dimm' slot='2' base='0x140000000'/></memory>
                <memory model='virtio-mem'><target><size/><block/><address base='0x180000000'/></target><address type='pci' slot='0x00'/></memory>
                <memory model='nvdimm'><address type='dimm' slot='1' base='4294967296'/></memory>
                <memory model='virtio-mem'><target/></memory>
                <memory model='sgx-epc'/>
                <memory/>
              </devices>
            </domain>
            """);
        Assert.Null(domain.Trouble);
        Assert.Equal("a & b", domain.Name);
        Assert.Equal("pc-q35-9.2", domain.Machine);
        Assert.Equal(
            [
                new LibvirtMemoryDevice("memdimm2", 0x1_4000_0000), new LibvirtMemoryDevice("memvirtiomem0", 0x1_8000_0000), new LibvirtMemoryDevice("memnvdimm1", 0x1_0000_0000),
                new LibvirtMemoryDevice("memvirtiomem1", null),
            ],
            domain.MemoryDevices);
    }

    [Theory]
    [InlineData("<domain><name>x</name><devices>", "x")]
    [InlineData("", null)]
    [InlineData("\u0001\u0002 no XML", null)]
    [InlineData("<domain><name>x</name></domain><domain/>", "x")]
    [InlineData("<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain><name>&b;</name></domain>", null)]
    [InlineData("<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain><name>x</name></domain>", null)]
    public void XML_that_is_none_is_said_and_bounded(string text, string? name)
    {
        var domain = LibvirtDomainXml.Parse(text);
        Assert.NotNull(domain.Trouble);
        Assert.Equal(name, domain.Name);
    }

    [Fact]
    public void Elements_within_elements_without_end_are_not_followed()
    {
        var domain = LibvirtDomainXml.Parse("<domain><name>x</name>" + string.Concat(Enumerable.Repeat("<a>", 100_000)));
        Assert.Contains("nests", domain.Trouble, StringComparison.Ordinal);
        Assert.Equal("x", domain.Name);
    }

    [Theory]
    [InlineData(VersionAt, 0x0707_0707u, "of version 117901063")]
    [InlineData(DataLengthAt, 0u, "without a domain description")]
    [InlineData(DataLengthAt, 0x7FFF_FFFFu, "more than the bound")]
    [InlineData(DataLengthAt, 0x100_0000u, "ends before QEMU's stream")]
    [InlineData(DataLengthAt, 8u, "no migration stream, packed or not")]
    public void A_header_that_lies_is_refused_in_one_line(int at, uint value, string said)
    {
        var bytes = Raw();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), value);
        using var file = new TemporaryFile(bytes, ".save");
        var refused = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path));
        Assert.Contains(said, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public void A_header_cut_off_is_refused()
    {
        using var file = new TemporaryFile(Raw().AsSpan(0, 60), ".save");
        Assert.Contains("cut off within the header", Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1u, "the header says gzip, the data are raw")]
    [InlineData(99u, "the header says format 99, which is not known, the data are raw")]
    public void The_data_are_believed_more_than_the_header(uint format, string said)
    {
        var bytes = Raw();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(FormatAt), format);
        using var file = new TemporaryFile(bytes, ".save");
        using var view = ImageReader.Open(file.Path);
        Assert.Contains(said, view.Origin.Remarks);
        Assert.Empty(view.Origin.Damage);
    }

    [Fact]
    public void The_cookie_is_no_part_of_the_XML()
    {
        var bytes = Raw();
        Assert.NotEqual(0u, BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(CookieAt)));
        Assert.Contains("<cookie>", Encoding.UTF8.GetString(bytes, HeaderSize, 8192), StringComparison.Ordinal);
        using var file = new TemporaryFile(bytes, ".save");
        using var view = ImageReader.Open(file.Path);
        Assert.EndsWith("</domain>", view.Origin.DomainXml!.TrimEnd(), StringComparison.Ordinal);
        Assert.DoesNotContain("<cookie>", view.Origin.DomainXml, StringComparison.Ordinal);
    }

    [Fact]
    public void XML_that_is_damaged_is_said_and_the_memory_read()
    {
        var bytes = Raw();
        bytes.AsSpan(HeaderSize + 300, 40).Fill((byte)'<');
        using var file = new TemporaryFile(bytes, ".save");
        using var view = ImageReader.Open(file.Path);
        Assert.Contains(view.Origin.Damage, line => line.StartsWith("the domain's XML is damaged at line ", StringComparison.Ordinal));
        Assert.Equal(2UL << 20, view.Memory.Size);
    }

    private static byte[] Raw()
    {
        using var file = SeedMemoryTests.Seed("libvirt-save/raw.save.gz");
        return File.ReadAllBytes(file.Path);
    }
}
