using System.Text;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>What a process's user half holds once laid out.</summary>
internal sealed record UserLayout(ulong Peb, ulong Wow64Peb, ulong ImageBase, IReadOnlyList<ulong> Tebs, IReadOnlyList<(ulong Start, ulong End)> PrivateRanges, ulong ImageEnd);

/// <summary>
/// The user half of a process: KUSER_SHARED_DATA, image, PEB, TEBs, parameters and environment. Areas as Windows chooses them: PEB below the top of user space on 7 and 8.1, low on 10,
/// below 4 GiB with WoW64.
/// </summary>
internal sealed class UserSpace(KernelTables tables, SharedUserData shared, SeededRandom random)
{
    public const ulong SharedUserDataAddress = 0x7FFE0000;
    /// <summary>Image base of the processes CPUs run in, so that the user-mode loop has one address.</summary>
    public const ulong HostImage = 0x1_4000_0000;
    private const uint ImageSize = 0x5000;
    private const int TebPages = 2;

    public UserLayout Build(AddressSpace space, ProcessPlan plan)
    {
        space.Map(SharedUserDataAddress, shared.Page, Pte.UserReadOnly);
        var image = MapImage(space, plan);
        var area = Area(plan);
        var parameters = area + 0x10000;
        WriteParameters(space, plan, parameters, out var parameterPages);
        var peb = area + 0x100000 + random.Next(0x40) * 0x1000;
        var wowPages = plan.Wow64 ? 1UL : 0;
        var tebs = new List<ulong>();
        var next = peb + 0x1000 + wowPages * 0x1000;
        for (var i = 0; i < plan.Threads && next + TebPages * 0x1000 <= area + 0x200000; i++, next += TebPages * 0x1000)
            tebs.Add(next);
        var pebPages = (int)((next - peb) / 0x1000);
        space.MapNew(peb, pebPages, Pte.UserData);
        // Pages given out but not there: one on its way out, one in the page file, the rest never touched.
        space.Tables.SetEntry(space.Root, area + 0x80000, Pte.Transition(space.Memory.AllocatePage()));
        space.Tables.SetEntry(space.Root, area + 0x81000, (0x2000 + random.Next(0x1000)) << 32 | 0x80);
        WritePeb(space, plan, peb, image, parameters);
        return new UserLayout(peb, plan.Wow64 ? peb + 0x1000 : 0, image, tebs,
            [(parameters, parameters + (ulong)parameterPages * 0x1000), (peb, next)], image + ImageSize);
    }

    private ulong Area(ProcessPlan plan)
    {
        const ulong unit = 0x200000;
        if (plan.Wow64)
            return (1 + random.Next(0x1F0)) * unit + 0x20000000;
        return tables.Family switch
        {
            < 9200 => 0x7FF_C0000000 + random.Next(0x1E0) * unit,
            < 14393 => 0x7FF5_00000000 + random.Next(0x4000) * unit,
            _ => 0x10_00000000 + random.Next(0x70000) * unit,
        };
    }

    private ulong MapImage(AddressSpace space, ProcessPlan plan)
    {
        var image = plan.HostsCpu ? HostImage
            : plan.Wow64 ? 0x400000UL
            : tables.Family < 9200 ? 0x1_3F000000 + random.Next(0xE00) * 0x10000
            : 0x7FF6_00000000 + random.Next(0x1F000) * 0x10000;
        space.Map(image, space.Memory.AllocatePage(), Pte.UserReadOnly);
        space.Map(image + 0x1000, space.Memory.AllocatePage(), Pte.UserCode);
        space.Map(image + 0x3000, space.Memory.AllocatePage(), Pte.UserData);
        // .rdata is backed by its file and not in memory: a prototype PTE, _MMPTE_PROTOTYPE bit 10.
        space.Tables.SetEntry(space.Root, image + 0x2000, 0xFFFFF8A0_00123000UL << 16 | 1 << 10);
        var header = new PeImage
        {
            Size = ImageSize, Timestamp = 0x60000000 + (uint)random.Next(0x2000000), EntryPoint = 0x1000, IsDll = false, Subsystem = 2, PreferredBase = image,
            OsMajor = (ushort)tables.Build.Major, OsMinor = (ushort)tables.Build.Minor,
            Sections = [new(".text", 0x1000, 0x1000, PeSection.Code), new(".rdata", 0x2000, 0x1000, PeSection.ReadOnlyData), new(".data", 0x3000, 0x2000, PeSection.Data)],
        };
        space.Write(image, header.Header());
        space.Write(image + 0x1000, [0xF3, 0x90, 0xEB, 0xFC]);
        return image;
    }

    private void WritePeb(AddressSpace space, ProcessPlan plan, ulong peb, ulong image, ulong parameters)
    {
        var build = tables.Build;
        var at = new StructWriter(tables, "_PEB", peb);
        at.Set("ImageBaseAddress", image).Set("ProcessParameters", parameters).Set("NumberOfProcessors", 1).Set("SessionId", plan.Session ?? 0);
        at.Set("OSMajorVersion", (ulong)build.Major).Set("OSMinorVersion", (ulong)build.Minor).Set("OSBuildNumber", (ulong)build.Build).Set("OSPlatformId", 2);
        at.Set("ImageSubsystem", 2).Set("ImageSubsystemMajorVersion", (ulong)build.Major);
        at.Store(space);
        if (!plan.Wow64)
            return;
        var peb32 = new StructWriter(tables, "_PEB32", peb + 0x1000);
        peb32.Set("ImageBaseAddress", image).Set("OSMajorVersion", (ulong)build.Major).Set("OSMinorVersion", (ulong)build.Minor).Set("OSBuildNumber", (ulong)build.Build);
        peb32.Store(space);
    }

    public void WriteTeb(AddressSpace space, ulong teb, ulong peb, uint pid, uint tid)
    {
        var at = new StructWriter(tables, "_TEB", teb);
        at.Set("NtTib.Self", teb).Set("NtTib.StackBase", peb & ~0x1FFFFFUL | 0xF0000).Set("NtTib.StackLimit", peb & ~0x1FFFFFUL | 0xE0000);
        at.Set("ClientId.UniqueProcess", pid).Set("ClientId.UniqueThread", tid).Set("ProcessEnvironmentBlock", peb);
        at.Store(space);
    }

    private void WriteParameters(AddressSpace space, ProcessPlan plan, ulong at, out int pages)
    {
        var block = new StructWriter(tables, "_RTL_USER_PROCESS_PARAMETERS", at);
        var text = new MemoryStream();
        var texts = at + (ulong)((block.Size + 7) & ~7);
        ulong Add(string value)
        {
            var address = texts + (ulong)text.Length;
            text.Write(Encoding.Unicode.GetBytes(value + "\0"));
            return address;
        }

        var directory = plan.Path.Length > 0 ? plan.Path[..(plan.Path.LastIndexOf('\\') + 1)] : @"C:\Windows\";
        block.SetString("ImagePathName", plan.Path, Add(plan.Path));
        block.SetString("CommandLine", plan.CommandLine, Add(plan.CommandLine));
        block.SetString("CurrentDirectory.DosPath", directory, Add(directory));
        block.SetString("WindowTitle", plan.Path, Add(plan.Path));
        block.SetString("DesktopInfo", @"Winsta0\Default", Add(@"Winsta0\Default"));
        var environment = $"ALLUSERSPROFILE=C:\\ProgramData\0OS=Windows_NT\0Path=C:\\Windows\\system32;C:\\Windows\0SystemRoot=C:\\Windows\0TWIN_PID={plan.Pid}\0USERNAME=Ольга\0";
        block.Set("Environment", Add(environment)).Set("EnvironmentSize", (ulong)(environment.Length + 1) * 2);
        // RTL_USER_PROC_PARAMS_NORMALIZED: pointers are addresses, not offsets.
        var length = (uint)(texts - at + (ulong)text.Length);
        block.Set("MaximumLength", length).Set("Length", length).Set("Flags", 1);
        pages = (int)(length + 0xFFF) / 0x1000;
        space.MapNew(at, pages, Pte.UserData);
        block.Store(space);
        space.Write(texts, text.ToArray());
    }
}
