using System.Buffers.Binary;
using System.Diagnostics;
using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>Layouts that are known by version only: that they are their source's, agree with full tables of the same build, and stay apart from profiles.</summary>
public sealed class VersionLayoutTests
{
    private const string Published = "Vergilius Project";

    [Fact]
    public void Every_size_and_place_of_every_layout_is_its_source()
    {
        var count = 0;
        using var unpacker = Process.Start(new ProcessStartInfo("zstd", ["-dc", "--", RealData.PathOf("kernels/layouts.tar.zst")]) { RedirectStandardOutput = true })!;
        using (var tar = new TarReader(unpacker.StandardOutput.BaseStream))
        {
            while (tar.GetNextEntry() is { } entry)
            {
                if (entry.DataStream is null)
                    continue;
                using var json = JsonDocument.Parse(entry.DataStream);
                var about = json.RootElement.GetProperty("metadata").GetProperty("windows");
                var machine = about.GetProperty("architecture").GetString() == "x86" ? VersionLayout.MachineX86 : VersionLayout.MachineX64;
                var layout = Carried().Single(known => known.Machine == machine && known.Version == Version.Parse(about.GetProperty("version").GetString()!) && known.Origin == Published);
                Assert.Equal(machine == VersionLayout.MachineX86 ? 4 : 8, layout.PointerSize);
                Compare(layout, json.RootElement.GetProperty("user_types"));
                count++;
            }
        }
        unpacker.WaitForExit();
        Assert.Equal(44, count);
    }

    [Fact]
    public void A_layout_says_what_the_full_table_of_the_same_version_says()
    {
        var (builds, fields) = (0, 0);
        foreach (var layout in Carried().Where(layout => layout.Machine == VersionLayout.MachineX64))
        {
            if (ProfileStore.Carried.Profiles.FirstOrDefault(profile => profile.Version == layout.Version) is not { } full)
                continue;
            builds++;
            foreach (var type in Enum.GetValues<KernelStruct>())
            {
                if (layout.SizeOf(type) is { } size && full.SizeOf(type) is { } known)
                    Assert.True(size == known, $"{layout} {type}: {size:x} and {known:x}");
            }
            foreach (var field in Enum.GetValues<KernelField>())
            {
                if (layout.Field(field) is not { } place || full.Field(field) is not { } known)
                    continue;
                fields++;
                Assert.True(place == known, $"{layout} {field}: {place} and {known}");
            }
        }
        Assert.Equal(2, builds);
        Assert.InRange(fields, 3000, int.MaxValue);
    }

    [Fact]
    public void What_is_cut_off_is_unknown_and_not_wrong()
    {
        foreach (var layout in Carried().Where(layout => layout.Machine == VersionLayout.MachineX64 && layout.Version.Build >= 19041 && layout.Origin == Published))
        {
            Assert.Null(layout.SizeOf(KernelStruct.KPRCB));
            Assert.Null(layout.SizeOf(KernelStruct.KPCR));
            Assert.Null(layout.SizeOf(KernelStruct.DRIVER_EXTENSION));
            Assert.Null(layout.OffsetOf(KernelField.KPRCB_KernelDirectoryTableBase));
            Assert.Equal(0x8, layout.OffsetOf(KernelField.KPRCB_CurrentThread));
        }
    }

    [Fact]
    public void Layouts_by_version_are_no_profiles_and_no_offsets_to_search_by()
    {
        Assert.Equal(213, ProfileStore.Carried.Profiles.Count());
        // 32-bit kernels keep the table at 18h: a search of x64 memory must not try that.
        Assert.Contains(Carried(), layout => layout.OffsetOf(KernelField.KPROCESS_DirectoryTableBase) == 0x18);
        Assert.Equal([0x28], ProfileStore.Carried.OffsetsOf(KernelField.KPROCESS_DirectoryTableBase));
        var none = ProfileStore.Carried.WhereLayouts(layout => layout.Version.Build != 22631);
        Assert.DoesNotContain(none.Layouts, layout => layout.Version.Build == 22631);
        Assert.Equal(213, none.Profiles.Count());
    }

    [Fact]
    public void A_layout_becomes_a_table_to_be_completed()
    {
        var layout = Carried().Single(layout => layout.Version == new Version(6, 1, 7601, 17514) && layout.Machine == VersionLayout.MachineX86);
        var table = layout.ToTable();
        Assert.Equal(layout.SizeOf(KernelStruct.EPROCESS), table.SizeOf(KernelStruct.EPROCESS));
        Assert.Equal(0xB8, table.PlaceOf(KernelField.EPROCESS_ActiveProcessLinks)!.Value.Offset);
        Assert.Null(table.RvaOf(KernelGlobal.PsActiveProcessHead));
    }

    [Fact]
    public void Written_layouts_read_back_and_their_order_does_not_matter()
    {
        (Version Version, ushort Machine, string Origin, (uint, uint) File)[] known =
        [
            (new Version(10, 0, 26100, 1742), VersionLayout.MachineX64, "one", (0x1234, 0x5000)), (new Version(10, 0, 26100, 1742), VersionLayout.MachineX64, "two", default),
            (new Version(5, 1, 2600, 5512), VersionLayout.MachineX86, "one", default),
        ];
        byte[] Write(IEnumerable<(Version Version, ushort Machine, string Origin, (uint, uint) File)> order)
        {
            var writer = new PackWriter();
            foreach (var (version, machine, origin, file) in order)
            {
                // One without a size.
                Assert.True(writer.AddLayout(version, machine, origin, file, _ => null, field => field == KernelField.EPROCESS_ObjectTable ? new FieldPlace(version.Build & 0xFFF, 0, 0) : null));
            }
            return writer.ToBytes();
        }
        var bytes = Write(known);
        Assert.Equal(bytes, Write(known.Reverse()));
        var pack = ProfilePack.Open("written", bytes);
        Assert.Equal(0, pack.Count);
        Assert.Equal(known.OrderBy(one => (one.Version, one.Machine, one.Origin)), pack.Layouts.Select(layout => (layout.Version, layout.Machine, layout.Origin, (layout.Timestamp, layout.ImageSize))));
        Assert.All(pack.Layouts, layout => Assert.Equal(layout.Version.Build & 0xFFF, layout.OffsetOf(KernelField.EPROCESS_ObjectTable)));
        Assert.All(pack.Layouts, layout => Assert.Null(layout.SizeOf(KernelStruct.EPROCESS)));
    }

    [Fact]
    public void Packs_of_version_2_are_still_read_and_those_of_unknown_versions_refused()
    {
        var writer = new PackWriter();
        var guid = Guid.NewGuid();
        writer.Add(guid, 1, new Version(10, 0, 1, 2), _ => 0x800, field => new FieldPlace((int)field % 0x40, 0, 0), global => (uint)global);
        var bytes = writer.ToBytes();
        var old = As(bytes, 2);
        var pack = ProfilePack.Open("old", old);
        Assert.Equal((int)KernelField.EPROCESS_Peb % 0x40, pack.Find(guid, 1)!.OffsetOf(KernelField.EPROCESS_Peb));
        Assert.Empty(pack.Layouts);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(PackLayout.VersionOffset), 4);
        Assert.Equal("new is a profile pack of version 4; this program reads versions 2 and 3", Assert.Throws<PackFormatException>(() => ProfilePack.Open("new", bytes)).Message);
    }

    /// <summary>Version 2 has neither of the header's last two numbers.</summary>
    private static byte[] As(byte[] pack, ushort version)
    {
        byte[] old = [.. pack[..PackLayout.HeaderLengthOfVersion2], .. pack[PackLayout.HeaderLength..]];
        BinaryPrimitives.WriteUInt16LittleEndian(old.AsSpan(PackLayout.VersionOffset), version);
        BinaryPrimitives.WriteInt32LittleEndian(old.AsSpan(PackLayout.LengthOffset), old.Length);
        SHA256.HashData(old.AsSpan(PackLayout.HeaderLengthOfVersion2), old.AsSpan(PackLayout.DigestOffset, PackLayout.DigestLength));
        return old;
    }

    private static IEnumerable<VersionLayout> Carried() => ProfileStore.Carried.Layouts;

    private static void Compare(VersionLayout layout, JsonElement types)
    {
        var sizes = new Dictionary<string, int>();
        var members = new Dictionary<(string, string), (int Offset, string? Nested, bool IsBits)>();
        foreach (var type in types.EnumerateObject())
        {
            sizes.Add(type.Name, type.Value.GetProperty("size").GetInt32());
            foreach (var member in type.Value.GetProperty("fields").EnumerateObject())
            {
                var form = member.Value.GetProperty("type");
                var kind = form.GetProperty("kind").GetString();
                members.Add((type.Name, member.Name), (member.Value.GetProperty("offset").GetInt32(), kind is "struct" or "union" or "class" ? form.GetProperty("name").GetString() : null, kind == "bitfield"));
            }
        }
        int? Follow(string type, string path)
        {
            var (offset, isBits) = (0, false);
            foreach (var name in path.Split('.'))
            {
                if (type is null || !members.TryGetValue((type, name), out var member))
                    return null;
                // What lies in a type without a name within another is wrong there, below zero even.
                if (type.StartsWith("__unnamed", StringComparison.Ordinal) && member.Nested?.StartsWith("__unnamed", StringComparison.Ordinal) == true && !path.EndsWith(name, StringComparison.Ordinal))
                    return -1;
                (offset, type, isBits) = (offset + member.Offset, member.Nested!, member.IsBits);
            }
            return isBits ? -1 : offset;
        }
        string? Existing(KernelStruct type) => KernelSchema.Structs[(int)type].Split('|').FirstOrDefault(sizes.ContainsKey);
        foreach (var type in Enum.GetValues<KernelStruct>())
        {
            var size = Existing(type) is { } name ? sizes[name] : (int?)null;
            if (type is not (KernelStruct.KPRCB or KernelStruct.KPCR or KernelStruct.DRIVER_EXTENSION) || layout.SizeOf(type) is not null)
                Assert.True(size == layout.SizeOf(type), $"{layout} {type}: {layout.SizeOf(type)} instead of {size}");
        }
        foreach (var field in Enum.GetValues<KernelField>())
        {
            var (owner, paths) = KernelSchema.Fields[(int)field];
            var offset = Existing(owner) is { } type ? paths.Split('|').Select(path => Follow(type, path)).FirstOrDefault(place => place is not null) : null;
            Assert.True((offset is -1 ? null : offset) == layout.OffsetOf(field), $"{layout} {field}: {layout.OffsetOf(field)} instead of {offset}");
        }
    }
}
