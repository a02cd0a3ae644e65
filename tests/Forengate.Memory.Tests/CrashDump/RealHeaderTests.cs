using Forengate.Testing;

namespace Forengate.Memory.Tests;

/// <summary>Headers that Windows and its tools wrote, against the values published with them.</summary>
public sealed class RealHeaderTests
{
    [Fact]
    public void Windows10CompleteDump()
    {
        var bytes = File.ReadAllBytes(RealData.PathOf("dumps/full-header-win10-19041-x64.bin"));
        Assert.True(CrashDumpHeader64.IsMatch(bytes));
        var header = new CrashDumpHeader64(bytes);

        Assert.Equal(0xFu, header.MajorVersion);
        Assert.Equal(9200u, header.MinorVersion);
        Assert.Equal(0x3E6B1A000u, header.DirectoryTableBase);
        Assert.Equal(0xFFFFDF8000000000, header.PfnDataBase);
        Assert.Equal(0xFFFFF80510A2A2B0, header.PsLoadedModuleList);
        Assert.Equal(0xFFFFF80510A1E060, header.PsActiveProcessHead);
        Assert.Equal(0xFFFFF80510A00B20, header.KdDebuggerDataBlock);
        Assert.Equal(0x8664u, header.MachineImageType);
        Assert.Equal(8u, header.NumberProcessors);
        Assert.Equal(0u, header.BugCheckCode);
        Assert.Equal(CrashDumpType.Full, header.DumpType);
        Assert.Equal(0x80000003u, header.ExceptionCode);
        Assert.Equal(0xFFFFF805197B2F8F, header.ExceptionAddress);
        Assert.Equal("LiveKD live system view", header.Comment);
        Assert.Equal(CrashDumpHeader64.LongFiller, header.SystemUpTime);
        Assert.Equal(CrashDumpHeader64.Filler, header.ProductType);
        Assert.Equal(2, header.KdSecondaryVersion);
        Assert.Equal(new DateTime(2020, 6, 27), DateTime.FromFileTimeUtc((long)header.SystemTime).Date);

        Assert.Equal(4u, header.NumberOfRuns);
        Assert.Equal(new CrashDumpRun(0x1, 0x9F), header.Run(0));
        Assert.Equal(new CrashDumpRun(0x100, 0x7F7EF), header.Run(1));
        Assert.Equal(new CrashDumpRun(0x7FBFF, 0x3E1), header.Run(2));
        Assert.Equal(new CrashDumpRun(0x100000, 0x380000), header.Run(3));
        var runs = CrashDumpRunTable.Read(header, header.RequiredDumpSpace + CrashDumpLayout64.HeaderSize);
        Assert.Empty(runs.Problems);
        // 16 GiB less what the PCI hole's firmware keeps.
        Assert.Equal(0x3FFC6Fu, runs.Pages);
        Assert.Equal([0x2000u, 0xA1000u, 0x7F890000u, 0x7FC71000u], runs.Runs.Select(run => run.FileOffset));
    }

    [Fact]
    public void Windows7CompleteDumpOf32Bits()
    {
        var bytes = File.ReadAllBytes(RealData.PathOf("dumps/full-header-win7-7601-x86.bin"));
        Assert.True(CrashDumpHeader32.IsMatch(bytes));
        Assert.False(CrashDumpHeader64.IsMatch(bytes));
        var header = new CrashDumpHeader32(bytes);

        Assert.Equal(0xFu, header.MajorVersion);
        Assert.Equal(7601u, header.MinorVersion);
        Assert.Equal(0xBF62F2E0u, header.DirectoryTableBase);
        Assert.Equal(0x829B9700u, header.PfnDataBase);
        Assert.Equal(0x82999850u, header.PsLoadedModuleList);
        Assert.Equal(0x82991F18u, header.PsActiveProcessHead);
        Assert.Equal(0x14Cu, header.MachineImageType);
        Assert.Equal(2u, header.NumberProcessors);
        Assert.True(header.PaeEnabled);
        Assert.Equal(CrashDumpType.Full, header.DumpType);
        Assert.Equal(0x80000003u, header.ExceptionCode);
        Assert.Equal("LiveKD live system view", header.Comment);
        var runs = CrashDumpRunTable.Read(header, header.RequiredDumpSpace + CrashDumpLayout32.HeaderSize);
        Assert.Empty(runs.Problems);
        Assert.Equal([new CrashDumpRun(0x1, 0x9E), new CrashDumpRun(0x100, 0xBFEDF)], runs.Runs.Select(run => run.Run));
    }

    [Fact]
    public void Arm64SmallDump()
    {
        var path = RealData.PathOf("dumps/triage-win10-17134-arm64.dmp");
        using var image = CrashDumpImage.Open(path);
        var header = image.Header64;

        Assert.True(image.Is64Bit);
        Assert.Equal(CrashDumpType.Triage, header.DumpType);
        Assert.Equal(17134u, header.MinorVersion);
        Assert.Equal(0xAA64u, header.MachineImageType);
        Assert.Equal(8u, header.NumberProcessors);
        Assert.Equal(0xE2u, header.BugCheckCode);
        Assert.Equal(CrashDumpHeader64.Filler, header.NumberOfRuns);

        var file = File.ReadAllBytes(path);
        var triage = new TriageDirectory(file, TriageLayout.Of64);
        Assert.Equal(228u, triage.DriverCount);
        Assert.Equal(TriageDirectory.ValidMark, BitConverter.ToUInt32(file, (int)triage.ValidOffset));
        Assert.Equal(triage.ValidOffset + 4, triage.SizeOfDump);
        Assert.Equal(triage.DriverListOffset + (228 * triage.Layout.DriverEntrySize), triage.StringPoolOffset);
        Assert.Equal("KDBG"u8, file.AsSpan((int)triage.DebuggerDataOffset + 0x10, 4));
        Assert.Equal((uint)BitConverter.ToInt32(file, (int)triage.DebuggerDataOffset + 0x14), triage.DebuggerDataSize);

        var drivers = new List<TriageDriver>();
        for (var i = 0; triage.TryReadDriver(i, out var driver); i++)
            drivers.Add(driver);
        Assert.Equal(228, drivers.Count);
        Assert.Equal(new TriageDriver(@"\SystemRoot\system32\ntoskrnl.exe", new VirtualAddress(0xFFFFF801BCB30000), 0x911000, 0x5B1A4560), drivers[0]);
        Assert.Equal(@"\SystemRoot\system32\hal.dll", drivers[1].Path);

        using var view = ImageReader.Open(path);
        Assert.Empty(view.Memory.Ranges);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(GuestArchitecture.Arm64, view.Origin.Architecture);
        Assert.Equal("Windows crash dump, 64-bit small", view.Origin.Format);
    }

    /// <summary>What KeInitializeCrashDumpHeader returned on 7601.17514, from the document of the user for whom this is made.</summary>
    [Fact]
    public void HeaderFromTheKernelItself()
    {
        var bytes = new byte[CrashDumpLayout64.HeaderSize];
        _ = new CrashDumpHeaderWriter64(bytes);
        Convert.FromHexString(
            "50414745445536340f000000b11d000000f0d82e0000000000000000" + "80faffff907e890200f8ffff909b870200f8ffff" + "64860000020000000000000050414745").CopyTo(bytes, 0);
        Convert.FromHexString("a030840200f8ffff").CopyTo(bytes, 0x80);
        Convert.FromHexString("02000000504147457eff030000000000" + "01000000000000009e00000000000000" + "0001000000000000e0fe030000000000").CopyTo(bytes, 0x88);
        var header = new CrashDumpHeader64(bytes);

        Assert.Equal(7601u, header.MinorVersion);
        Assert.Equal(0x2ED8F000u, header.DirectoryTableBase);
        Assert.Equal(0xFFFFFA8000000000, header.PfnDataBase);
        Assert.Equal(0xFFFFF80002897E90, header.PsLoadedModuleList);
        Assert.Equal(0xFFFFF80002879B90, header.PsActiveProcessHead);
        Assert.Equal(0xFFFFF800028430A0, header.KdDebuggerDataBlock);
        Assert.Equal(2u, header.NumberProcessors);
        Assert.Equal(0u, header.BugCheckCode);

        var runs = CrashDumpRunTable.Read(header, 0x3FF80000);
        Assert.Empty(runs.Problems);
        // Windows' own checker counts file offsets from a 0x1000 header: on disk both lie 0x1000 further.
        Assert.Equal([0x1000u + 0x1000u, 0x9F000u + 0x1000u], runs.Runs.Select(run => run.FileOffset));
        Assert.Equal(0x3FFE0000u, runs.Runs[1].Run.Range.End.Value);
    }
}
