using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>The carried pack against sources that have nothing to do with the one it was made from.</summary>
public sealed class SecondSourceTests
{
    private static readonly ProfilePack Carried = ProfileStore.Carried.Packs[0];

    /// <summary>What System Informer calls the fields.</summary>
    private static readonly Dictionary<string, KernelField> s_names = new()
    {
        ["EgeGuid"] = KernelField.ETW_GUID_ENTRY_Guid,
        ["EpObjectTable"] = KernelField.EPROCESS_ObjectTable,
        ["EpSectionObject"] = KernelField.EPROCESS_SectionObject,
        ["EreGuidEntry"] = KernelField.ETW_REG_ENTRY_GuidEntry,
        ["OtName"] = KernelField.OBJECT_TYPE_Name,
        ["OtIndex"] = KernelField.OBJECT_TYPE_Index,
        ["AlpcCommunicationInfo"] = KernelField.ALPC_PORT_CommunicationInfo,
        ["AlpcOwnerProcess"] = KernelField.ALPC_PORT_OwnerProcess,
        ["AlpcConnectionPort"] = KernelField.ALPC_COMMUNICATION_INFO_ConnectionPort,
        ["AlpcServerCommunicationPort"] = KernelField.ALPC_COMMUNICATION_INFO_ServerCommunicationPort,
        ["AlpcClientCommunicationPort"] = KernelField.ALPC_COMMUNICATION_INFO_ClientCommunicationPort,
        ["AlpcHandleTable"] = KernelField.ALPC_COMMUNICATION_INFO_HandleTable,
        ["AlpcAttributes"] = KernelField.ALPC_PORT_PortAttributes,
        ["AlpcPortContext"] = KernelField.ALPC_PORT_PortContext,
        ["AlpcSequenceNo"] = KernelField.ALPC_PORT_SequenceNo,
        ["KtInitialStack"] = KernelField.KTHREAD_InitialStack,
        ["KtStackLimit"] = KernelField.KTHREAD_StackLimit,
        ["KtStackBase"] = KernelField.KTHREAD_StackBase,
        ["KtKernelStack"] = KernelField.KTHREAD_KernelStack,
        ["MmControlAreaListHead"] = KernelField.CONTROL_AREA_ListHead,
        ["MmControlAreaLock"] = KernelField.CONTROL_AREA_ControlAreaLock,
        ["MmSectionControlArea"] = KernelField.SECTION_u1,
    };

    /// <summary>KPRCB.KernelDirectoryTableBase from the GS base, as public analyses of KVA shadow give it for each family.</summary>
    [Theory]
    [InlineData(7601, 0x6000)]
    [InlineData(9600, 0x7000)]
    [InlineData(14393, 0x7000)]
    [InlineData(17763, 0x7000)]
    [InlineData(18362, 0x7000)]
    [InlineData(19041, 0x9000)]
    [InlineData(20348, 0xA000)]
    [InlineData(22000, 0xA000)]
    public void Every_kernel_of_a_family_keeps_the_kernel_directory_table_base_where_it_is_known_to(int build, int gsOffset)
    {
        var kernels = All().Where(profile => profile.Version.Build == build).ToList();
        Assert.NotEmpty(kernels);
        Assert.All(kernels, profile => Assert.Equal(gsOffset, profile.OffsetOf(KernelField.KPCR_Prcb) + profile.OffsetOf(KernelField.KPRCB_KernelDirectoryTableBase)));
    }

    /// <summary>Facts every debugger knows: the places in KUSER_SHARED_DATA never moved, KPCR.Prcb is at 180h, CONTEXT is 4D0h long.</summary>
    [Fact]
    public void What_never_changes_has_one_value()
    {
        Assert.Equal([0x14], Carried.OffsetsOf(KernelField.KUSER_SHARED_DATA_SystemTime));
        Assert.Equal([0x08], Carried.OffsetsOf(KernelField.KUSER_SHARED_DATA_InterruptTime));
        Assert.Equal([0x264], Carried.OffsetsOf(KernelField.KUSER_SHARED_DATA_NtProductType));
        Assert.Equal([0x2D0], Carried.OffsetsOf(KernelField.KUSER_SHARED_DATA_SuiteMask));
        Assert.Equal([0x180], Carried.OffsetsOf(KernelField.KPCR_Prcb));
        Assert.Equal([0x28], Carried.OffsetsOf(KernelField.KPROCESS_DirectoryTableBase));
        Assert.Equal([0x28], Carried.OffsetsOf(KernelField.EPROCESS_Pcb_DirectoryTableBase));
        Assert.Equal([0x4D0], Carried.SizesOf(KernelStruct.CONTEXT));
        Assert.Equal([0x40], Carried.SizesOf(KernelStruct.KTIMER));
    }

    /// <summary>System Informer's table of offsets, by version of ntoskrnl.exe (MIT).</summary>
    [Fact]
    public void System_Informers_offsets_are_the_same()
    {
        var table = XDocument.Load(RealData.PathOf("offsets/kphdyn.xml")).Root!;
        var offsets = table.Elements("fields").ToDictionary(
            fields => fields.Attribute("id")!.Value,
            fields => fields.Elements("field").Select(field => (Name: field.Attribute("name")!.Value, Value: Number(field.Attribute("value")!.Value))).ToList());
        var kernels = All().ToDictionary(profile => profile.Version);
        var (compared, matched, wrong) = (0, new HashSet<Version>(), new List<string>());
        foreach (var data in table.Elements("data").Where(data => data.Attribute("arch")!.Value == "amd64" && data.Attribute("file")!.Value == "ntoskrnl.exe"))
        {
            if (!kernels.TryGetValue(Version.Parse(data.Attribute("version")!.Value), out var profile) || !matched.Add(profile.Version))
                continue;
            foreach (var (name, value) in offsets[data.Value])
            {
                if (!s_names.TryGetValue(name, out var field))
                    continue;
                compared++;
                // 0xffff says there: this build has none.
                var expected = value == 0xFFFF ? (int?)null : value;
                if (profile.OffsetOf(field) != expected)
                    wrong.Add($"{profile.Version} {field}: {profile.OffsetOf(field)} instead of {expected}");
            }
        }
        Assert.True(wrong.Count == 0, $"{wrong.Count} of {compared}: {string.Join("; ", wrong.Take(10))}");
        Assert.Equal(176, matched.Count);
        Assert.InRange(compared, 176 * 18, int.MaxValue);
    }

    /// <summary>
    /// The same for the layouts that are known by version only. 22631 has no rows there, but runs 22621's kernel file; 26100's revision is not known, so that all 255 kernels of it count, and 19045's are 19041's.
    /// </summary>
    [Fact]
    public void System_Informers_offsets_are_the_layouts_too()
    {
        var table = XDocument.Load(RealData.PathOf("offsets/kphdyn.xml")).Root!;
        var offsets = table.Elements("fields").ToDictionary(
            fields => fields.Attribute("id")!.Value,
            fields => fields.Elements("field").Select(field => (Name: field.Attribute("name")!.Value, Value: Number(field.Attribute("value")!.Value))).ToList());
        var data = table.Elements("data").Where(data => data.Attribute("arch")!.Value == "amd64" && data.Attribute("file")!.Value == "ntoskrnl.exe")
            .Select(data => (Version: Version.Parse(data.Attribute("version")!.Value), Id: data.Value)).ToList();
        var (compared, differences, seen) = (0, new SortedSet<string>(), new SortedSet<Version>());
        foreach (var layout in ProfileStore.Carried.Layouts.Where(layout => layout.Machine == VersionLayout.MachineX64))
        {
            var version = layout.Version.Build switch
            {
                22631 => new Version(10, 0, 22621, layout.Version.Revision),
                19045 => new Version(10, 0, 19041, layout.Version.Revision),
                _ => layout.Version,
            };
            foreach (var (_, id) in data.Where(row => row.Version == version || (version.Build == 26100 && row.Version.Build == 26100)))
            {
                seen.Add(layout.Version);
                foreach (var (name, value) in offsets[id])
                {
                    if (!s_names.TryGetValue(name, out var field) || layout.OffsetOf(field) is not { } offset || value == 0xFFFF)
                        continue;
                    compared++;
                    if (offset != value)
                        differences.Add($"{layout} {KernelSchema.NameOf(field)}: 0x{offset:x}, there 0x{value:x}");
                }
            }
        }
        Assert.True(differences.Count == 0, string.Join("; ", differences));
        Assert.Contains(new Version(10, 0, 26100, 0), seen);
        Assert.Contains(new Version(10, 0, 22631, 2428), seen);
        Assert.Equal(15, seen.Count);
        Assert.InRange(compared, 1800, int.MaxValue);
    }

    /// <summary>
    /// ntdll.pdb of the same build carries the kernel's public types; a converter of another project read them from Microsoft's own file. Known to differ:
    /// ntdll has no _KLDR_DATA_TABLE_ENTRY, and an _INVERTED_FUNCTION_TABLE of its own size.
    /// </summary>
    [Fact]
    public void The_types_in_ntdlls_symbols_are_the_same()
    {
        using var unpacker = Process.Start(new ProcessStartInfo("xz", ["-dc", "--", RealData.PathOf("pdb/ntdll-x64.expected.json.xz")]) { RedirectStandardOutput = true })!;
        using var json = JsonDocument.Parse(unpacker.StandardOutput.BaseStream);
        var types = json.RootElement.GetProperty("user_types");
        var profile = All().Single(kernel => kernel.Version == new Version(10, 0, 19041, 1826));
        Assert.Equal(0xA40, profile.SizeOf(KernelStruct.EPROCESS));
        Assert.Equal(0xAF00, profile.SizeOf(KernelStruct.KPRCB));
        Assert.Equal(0x430, profile.SizeOf(KernelStruct.KTHREAD));
        var (structs, fields) = (0, 0);
        foreach (var type in Enum.GetValues<KernelStruct>().Except([KernelStruct.KLDR_DATA_TABLE_ENTRY, KernelStruct.INVERTED_FUNCTION_TABLE]))
        {
            if (types.TryGetProperty(KernelSchema.Structs[(int)type].Split('|')[0], out var known) && profile.SizeOf(type) is { } size)
            {
                structs++;
                Assert.True(known.GetProperty("size").GetInt32() == size, $"{type}: {size}");
            }
        }
        foreach (var field in Enum.GetValues<KernelField>())
        {
            var (owner, name) = KernelSchema.Fields[(int)field];
            if (owner is KernelStruct.KLDR_DATA_TABLE_ENTRY || !types.TryGetProperty(KernelSchema.Structs[(int)owner], out var known) || profile.Field(field) is not { } place)
                continue;
            foreach (var path in name.Split('|').Where(path => !path.Contains('.', StringComparison.Ordinal)))
            {
                if (!known.GetProperty("fields").TryGetProperty(path, out var member))
                    continue;
                fields++;
                Assert.True(member.GetProperty("offset").GetInt32() == place.Offset, $"{field}: {place}");
                break;
            }
        }
        Assert.InRange(structs, 105, int.MaxValue);
        Assert.InRange(fields, 1250, int.MaxValue);
    }

    private static IEnumerable<KernelProfile> All() => Enumerable.Range(0, Carried.Count).Select(i => Carried[i]);

    private static int Number(string text) => text.StartsWith("0x", StringComparison.Ordinal) ? int.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture) : int.Parse(text, CultureInfo.InvariantCulture);
}
