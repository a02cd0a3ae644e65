using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>Where RAM lies when nobody asks QEMU: by libvirt's description, held against the tables that the firmware left in memory.</summary>
public sealed class PortableRamTests
{
    private const ulong GiB = 1UL << 30;

    private static string Xml(string memory, string machine = "pc-q35-7.2", string devices = "", string extra = "", string architecture = "x86_64") =>
        $"""
        <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
          <name>x</name>{memory}<currentMemory unit='KiB'>1</currentMemory><memoryBacking><source type='memfd'/></memoryBacking>
          <os><type arch='{architecture}' machine='{machine}'>hvm</type></os>
          <devices>{devices}<memballoon model='virtio'/></devices>{extra}
        </domain>
        """;

    private static string Memory(int gibibytes) => $"<memory unit='GiB'>{gibibytes}</memory>";

    private const string Dimm =
        "<memory model='dimm'><target><size unit='KiB'>1048576</size><node>0</node></target><alias name='dimm0'/><address type='dimm' slot='0' base='0x200000000'/></memory>";

    [Theory]
    [InlineData("<memory unit='KiB'>4194304</memory>", 4UL << 30)]
    [InlineData("<memory>2048</memory>", 2UL << 20)]
    [InlineData("<memory unit='bytes'>1048576</memory>", 1UL << 20)]
    [InlineData("<memory unit='MB'>10</memory>", 10_000_000UL)]
    public void Sizes_are_read_with_their_units(string memory, ulong bytes) => Assert.Equal(bytes, DomainDescription.Parse(Xml(memory)).TotalMemory);

    [Fact]
    public void Devices_encryption_and_moved_RAM_are_seen()
    {
        var description = DomainDescription.Parse(Xml(Memory(5), devices: Dimm + "<video><model type='vga'/></video>",
            extra: "<launchSecurity type='sev'/><qemu:commandline><qemu:arg value='-machine'/><qemu:arg value='max-ram-below-4g=1G'/></qemu:commandline>"));
        Assert.Equal(new DomainDescription.MemoryDevice("dimm", GiB, GiB, 8 * GiB), Assert.Single(description.Devices));
        Assert.Equal(4 * GiB, description.InitialMemory);
        Assert.Equal("sev", description.Encryption);
        Assert.True(description.HasVideo && description.MovesRam);
        Assert.Equal(("kvm", "x86_64", "pc-q35-7.2"), (description.Type, description.Architecture, description.Machine));
    }

    [Theory]
    [InlineData("pc-q35-7.2", 2UL << 30)]
    [InlineData("pc-i440fx-7.2", 3UL << 30)]
    public void RAM_is_placed_as_the_machine_divides_it_and_devices_where_libvirt_says(string machine, ulong low)
    {
        var (remarks, damage) = (new List<string>(), new List<string>());
        var ranges = PortableRam.Find("x", DomainDescription.Parse(Xml(Memory(5), machine, Dimm)), null, Reading(Table((0, low), (4 * GiB, (4 * GiB) - low))), remarks, damage);
        Assert.Equal([Range(0, low), Range(4 * GiB, (4 * GiB) - low), Range(8 * GiB, GiB)], ranges);
        Assert.Contains("SMBIOS) say the same", Assert.Single(remarks), StringComparison.Ordinal);
        Assert.Empty(damage);
    }

    [Fact]
    public void A_video_card_is_not_read()
    {
        var ranges = PortableRam.Find("x", DomainDescription.Parse(Xml(Memory(1), devices: "<video/>")), null, Nothing, [], []);
        Assert.Equal([Range(0, 0xA0000), Range(0xC0000, GiB - 0xC0000)], ranges);
    }

    [Fact]
    public void What_does_not_agree_is_refused_and_not_chosen()
    {
        var description = DomainDescription.Parse(Xml(Memory(4)));
        var other = Reading(Table((0, GiB), (4 * GiB, 3 * GiB)));
        var refused = Assert.Throws<GuestException>(() => PortableRam.Find("x", description, null, other, [], []));
        Assert.Equal(GuestFailure.MemoryMap, refused.Failure);
        Assert.Contains("--low-memory", refused.Message, StringComparison.Ordinal);
        Assert.Equal([Range(0, GiB), Range(4 * GiB, 3 * GiB)], PortableRam.Find("x", description, GiB, other, [], []));
        foreach (var odd in (string[])[Xml(Memory(4), "virt", architecture: "aarch64"), Xml(Memory(4), "microvm2"), Xml(""), Xml(Memory(4), extra: "<qemu:commandline><qemu:arg value='q35,max-ram-below-4g=1G'/></qemu:commandline>")])
            Assert.Equal(GuestFailure.MemoryMap, Assert.Throws<GuestException>(() => PortableRam.Find("x", DomainDescription.Parse(odd), null, Nothing, [], [])).Failure);
    }

    [Fact]
    public void Memory_that_libvirt_does_not_place_is_called_missing()
    {
        var damage = new List<string>();
        const string device = "<memory model='virtio-mem'><target><size unit='GiB'>1</size><block unit='MiB'>2</block><requested unit='MiB'>512</requested><current unit='MiB'>512</current></target></memory>";
        Assert.Equal([Range(0, GiB)], PortableRam.Find("x", DomainDescription.Parse(Xml(Memory(2), devices: device)), null, Nothing, [], damage));
        Assert.Contains("512 MiB of a virtio-mem", Assert.Single(damage), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("<domain><memory>")]
    [InlineData("<network/>")]
    [InlineData("<domain><memory unit='parsec'>1</memory></domain>")]
    [InlineData("<domain><memory>99999999999999999999999999999999</memory></domain>")]
    [InlineData("<domain><memory>-1</memory></domain>")]
    [InlineData("<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>")]
    public void A_description_that_is_none_is_refused_in_one_line(string xml)
    {
        var refused = Assert.Throws<GuestException>(() => DomainDescription.Parse(xml));
        Assert.Equal(GuestFailure.Libvirt, refused.Failure);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public void Tables_that_the_guest_changed_are_read_within_bounds()
    {
        var random = new Random(5);
        var sound = Table((0, 2 * GiB), (4 * GiB, 2 * GiB));
        for (var round = 0; round < 20_000; round++)
        {
            var table = (byte[])sound.Clone();
            for (var i = 0; i < 4; i++)
                table[random.Next(table.Length)] = (byte)random.Next(256);
            foreach (var range in FirmwareMemory.Parse(table.AsSpan(0, random.Next(table.Length + 1))))
                Assert.True(range.Length > 0 && range.End.Value <= 1UL << PhysicalAddress.Bits);
        }
        // An entry point that leads elsewhere: into a device, behind RAM, nowhere.
        foreach (var address in (ulong[])[0xA0000, 0xFEC00000, 4 * GiB, ulong.MaxValue])
            Assert.Empty(FirmwareMemory.Find(Reading(sound, address), (at, length) => at >= 0xC0000 && length <= GiB && at <= GiB - length));
    }

    private static PhysicalRange Range(ulong start, ulong length) => new(new PhysicalAddress(start), length);

    private static bool Nothing(ulong address, Span<byte> destination)
    {
        destination.Clear();
        return true;
    }

    /// <summary>A BIOS structure with texts, then RAM as QEMU describes it, then the end.</summary>
    private static byte[] Table(params (ulong Start, ulong Length)[] ram)
    {
        List<byte> table = [0, 6, 0, 0, 1, 2, .. "SeaBIOS\0"u8, .. "7.2\0"u8, 0];
        foreach (var (start, length) in ram)
        {
            var structure = new byte[0x1F];
            (structure[0], structure[1]) = (19, 0x1F);
            // The second as one beyond 4 TiB would be written: in bytes.
            var extended = start != 0;
            BinaryPrimitives.WriteUInt32LittleEndian(structure.AsSpan(4), extended ? uint.MaxValue : (uint)(start >> 10));
            BinaryPrimitives.WriteUInt32LittleEndian(structure.AsSpan(8), extended ? uint.MaxValue : (uint)(((start + length) >> 10) - 1));
            BinaryPrimitives.WriteUInt64LittleEndian(structure.AsSpan(0xF), extended ? start : 0);
            BinaryPrimitives.WriteUInt64LittleEndian(structure.AsSpan(0x17), extended ? start + length - 1 : 0);
            table.AddRange([.. structure, 0, 0]);
        }
        return [.. table, 127, 4, 0, 0, 0, 0];
    }

    /// <summary>A guest whose entry point of 64 bits lies in the firmware's area and leads to the table.</summary>
    private static FirmwareMemory.Reader Reading(byte[] table, ulong address = 0xE0000)
    {
        var entry = new byte[0x18];
        "_SM3_"u8.CopyTo(entry);
        entry[6] = 0x18;
        BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(0xC), (uint)table.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(0x10), address);
        entry[5] = (byte)-entry.Sum(value => value);
        return (at, destination) =>
        {
            destination.Clear();
            if (at == FirmwareMemory.AnchorArea)
                entry.CopyTo(destination[0x5B0..]);
            else if (at == address)
                table.AsSpan(0, Math.Min(table.Length, destination.Length)).CopyTo(destination);
            return true;
        };
    }
}
