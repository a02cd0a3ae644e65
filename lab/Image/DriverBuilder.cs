using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>A kernel module as it lies in memory.</summary>
internal sealed record TwinDriver(string Name, string Path, ulong Base, uint Size, ulong EntryPoint, ulong Entry, bool Hidden, uint Timestamp, Guid Guid);

/// <summary>PsLoadedModuleList and the modules in it, each with a header, a CodeView record and a few resident pages.</summary>
internal sealed class DriverBuilder(KernelTables tables, AddressSpace space, KernelPool pool, KernelImage kernel, SeededRandom random)
{
    /// <summary>Bit 0x2000 marks an image loaded at boot, 0x4000 one whose entry was called (LDRP_*), as debuggers show it on real lists.</summary>
    private const ulong Flags = 0x0900_4000;
    private const int ResidentPages = 3;
    private ulong _next;

    public IReadOnlyList<TwinDriver> Build(ulong firstBase, int count, int hidden)
    {
        _next = firstBase;
        var drivers = new List<TwinDriver> { Entry("ntoskrnl.exe", @"\SystemRoot\system32\ntoskrnl.exe", kernel.Base, kernel.Size, kernel.EntryPoint, kernel.Timestamp, new Guid(tables.Build.GuidBytes()), false) };
        for (var i = 0; i < count - 1; i++)
        {
            var (name, path) = DriverNames.At(i);
            drivers.Add(Module(name, path, false));
        }
        for (var i = 0; i < hidden; i++)
            drivers.Add(Module($"hid{i:D2}drv.sys", $@"\SystemRoot\System32\drivers\hid{i:D2}drv.sys", true));
        LinkedRing.Write(space, kernel.AddressOf("PsLoadedModuleList"), drivers.Where(d => !d.Hidden).Select(d => d.Entry).ToArray());
        return drivers;
    }

    private TwinDriver Module(string name, string path, bool hidden)
    {
        var size = (uint)random.Next(8, 0x80) * 0x1000;
        var at = _next;
        _next += size + (ulong)random.Next(1, 16) * 0x10000 & ~0xFFFUL;
        var stamp = 0x5F000000 + (uint)random.Next(0x4000000);
        Span<byte> guid = stackalloc byte[16];
        random.Fill(guid);
        PeSection[] sections =
        [
            new(".text", 0x1000, 0x2000, PeSection.Code | PeSection.NotPaged), new(".rdata", 0x3000, 0x1000, PeSection.ReadOnlyData | PeSection.NotPaged),
            new(".data", 0x4000, size - 0x6000, PeSection.Data | PeSection.NotPaged), new("INIT", size - 0x2000, 0x1000, PeSection.Code | PeSection.Discardable),
            new(".rsrc", size - 0x1000, 0x1000, PeSection.ReadOnlyData),
        ];
        const uint entry = 0x1010;
        const uint debug = 0x3000;
        var pe = new PeImage
        {
            Size = size, Timestamp = stamp, EntryPoint = entry, Sections = sections, IsDll = name.EndsWith(".dll", StringComparison.Ordinal), CheckSum = size,
            OsMajor = (ushort)tables.Build.Major, OsMinor = (ushort)tables.Build.Minor, DebugDirectory = debug,
        };
        space.Map(at, space.Memory.AllocatePage(), Pte.KernelReadOnly);
        foreach (var section in sections.Where(s => !s.IsDiscardable))
        {
            for (var rva = section.Rva; rva < Math.Min(section.End, section.Rva + ResidentPages * 0x1000); rva += 0x1000)
                space.Map(at + rva, space.Memory.AllocatePage(), section.PteFlags);
        }
        space.Write(at, pe.Header());
        space.Write(at + entry, [0x48, 0x83, 0xEC, 0x28, 0x33, 0xC0, 0x48, 0x83, 0xC4, 0x28, 0xC3]);
        space.Write(at + debug, PeImage.Debug(debug, stamp, guid, 1, System.IO.Path.GetFileNameWithoutExtension(name) + ".pdb"));
        return Entry(name, path, at, size, entry, stamp, new Guid(guid), hidden);
    }

    private TwinDriver Entry(string name, string path, ulong at, uint size, uint entryRva, uint stamp, Guid guid, bool hidden)
    {
        // Builds up to 9600 have no _KLDR_DATA_TABLE_ENTRY in their tables; the first fields of both are the same (know-how, corrections).
        var type = tables.HasType("_KLDR_DATA_TABLE_ENTRY") ? "_KLDR_DATA_TABLE_ENTRY" : "_LDR_DATA_TABLE_ENTRY";
        var entry = new StructWriter(tables, type, pool.Allocate("MmLd", tables.SizeOf(type)));
        entry.Set("DllBase", at).Set("EntryPoint", at + entryRva).Set("SizeOfImage", size).Set("Flags", Flags).SetWhere("LoadCount", 1);
        entry.SetString("FullDllName", path, pool.AllocateText("MmLd", path));
        entry.SetString("BaseDllName", name, pool.AllocateText("MmLd", name));
        entry.SetWhere("CheckSum", size);
        if (tables.Family >= 9600)
            entry.SetWhere("TimeDateStamp", stamp);
        entry.SetWhere("SizeOfImageNotRounded", size);
        entry.EmptyList("InLoadOrderLinks");
        entry.Store(space);
        return new TwinDriver(name, path, at, size, at + entryRva, entry.Address, hidden, stamp, guid);
    }
}
